"""Durable, addressable, realtime actors from annotated Python classes."""

from __future__ import annotations

from rivetkit._action import Action, action
from rivetkit._action_group import ActionGroup
from rivetkit._actor import Actor, ActorOptions, actor
from rivetkit._authoring import InvalidActor
from rivetkit._connection import Conn
from rivetkit._context import Context
from rivetkit._contract import Contract
from rivetkit._event import Emitter, Event
from rivetkit._references import ActionRef, EventRef, InitialRef, Input, Ref
from rivetkit._state import Initial, create_state
from rivetkit._stub import LiveStub, NotConnected, Stub, Subscription
from rivetkit_core.errors import RivetError, UserError, ValidationError

__all__ = [
    "Action",
    "ActionGroup",
    "ActionRef",
    "Actor",
    "ActorOptions",
    "Conn",
    "Context",
    "Contract",
    "Emitter",
    "Event",
    "EventRef",
    "Initial",
    "InitialRef",
    "Input",
    "InvalidActor",
    "LiveStub",
    "NotConnected",
    "Ref",
    "RivetError",
    "Stub",
    "Subscription",
    "UserError",
    "ValidationError",
    "action",
    "actor",
    "create_state",
]
