"""Shipped fakes: time, storage and sockets that a test owns completely."""

from rivetkit_core.testing.clock import FakeClock as FakeClock
from rivetkit_core.testing.clock import settle as settle
from rivetkit_core.testing.loop import LoopControl as LoopControl
from rivetkit_core.testing.loop import Stuck as Stuck
from rivetkit_core.testing.sockets import ScriptedSocket as ScriptedSocket
from rivetkit_core.testing.sockets import SentFrame as SentFrame
from rivetkit_core.testing.store import MemoryStorage as MemoryStorage
from rivetkit_core.testing.store import MemoryStore as MemoryStore

__all__ = [
    "FakeClock",
    "LoopControl",
    "MemoryStorage",
    "MemoryStore",
    "ScriptedSocket",
    "SentFrame",
    "Stuck",
    "settle",
]
