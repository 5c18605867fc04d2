"""One generation of an actor, as the core drives it: bytes in, user code, bytes out.

``Blueprint`` is what the compiler learned about a class once; ``CompiledInstance`` is the
``ActorInstance`` the core calls. Deadlines are the core's business, except for
``on_before_action_response``, which may fail without failing the action.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Any, cast

from rivetkit._actor import Actor
from rivetkit._connection import Conn, calling
from rivetkit._context import ClientFactory, Context
from rivetkit._job import QueueRef
from rivetkit._members import FoundAction, FoundInitial
from rivetkit._references import EventRef
from rivetkit._resource import Resource
from rivetkit._state_versions import Ladder
from rivetkit._validation import (
    UNSET,
    Adapter,
    decode,
    dump,
    encode,
    load,
    plain_metadata,
    to_plain,
    validate,
)
from rivetkit._verdict import verdict
from rivetkit._web import Web
from rivetkit_core.actor.factory import AdmittedMessage
from rivetkit_core.errors import RivetError, ValidationError, error
from rivetkit_core.wire.cbor import NULL

if TYPE_CHECKING:
    from rivetkit_core.actor.connections import Connection
    from rivetkit_core.actor.context import ActorContext
    from rivetkit_core.actor.resources import Resource as CoreResource
    from rivetkit_core.asgi import Receive, Scope, Send


_CONNECTION_HOOKS = ("on_before_connect", "create_conn_state", "on_connect", "on_disconnect")
_SUBSCRIPTION_HOOKS = ("on_before_subscribe", "can_subscribe")


@dataclass(frozen=True, slots=True)
class StateBlueprint:
    """How a state is first made, checked and written. ``make`` is used when there is no ``initial``."""

    type_name: str
    adapter: Adapter
    ladder: Ladder
    initial: FoundInitial | None
    make: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Blueprint:
    """Everything known about an actor class before an instance exists."""

    actor_class: type[Actor]
    name: str
    actions: Mapping[str, FoundAction]
    queues: Mapping[str, QueueRef[Any, Any, Any]]
    events: Mapping[str, EventRef[Any, Any]]
    state: StateBlueprint | None
    conn_params: Adapter
    conn_state: Adapter
    default_vars: object
    resources: Sequence[tuple[str, Resource[Any]]]
    client_factory: ClientFactory | None

    def overrides(self, hook: str) -> bool:
        """Whether the author wrote this hook."""
        return getattr(self.actor_class, hook) is not getattr(Actor, hook)


class CompiledInstance:
    """The ``ActorInstance`` of an annotated class."""

    def __init__(self, blueprint: Blueprint, core: ActorContext) -> None:
        self._blueprint = blueprint
        self._core = core
        self._actor = blueprint.actor_class()
        self._actor.__rivet_context__ = Context(core, blueprint.client_factory)
        self._web = Web(self._actor)
        self._connection_hooks = frozenset(hook for hook in _CONNECTION_HOOKS if blueprint.overrides(hook))
        self._guards_subscriptions = any(blueprint.overrides(hook) for hook in _SUBSCRIPTION_HOOKS)
        self._replaces_output = blueprint.overrides("on_before_action_response")

    @property
    def has_state(self) -> bool:
        return self._blueprint.state is not None

    @property
    def connection_hooks(self) -> frozenset[str]:
        return self._connection_hooks

    @property
    def observes_state(self) -> bool:
        return self.has_state and self._blueprint.overrides("on_state_change")

    async def create_state(self, input: bytes | None) -> None:
        state = self._state_blueprint
        if state.initial is None:
            made = state.make()
        else:
            positional, keywords = state.initial.codec.decode(input)
            with _user_code(None):
                made = await _settled(state.initial.function(self._actor, *positional, **keywords))
        self._put_state(validate(made, state.adapter, self._state_target))

    def restore_state(self, state: bytes) -> None:
        blueprint = self._state_blueprint
        plain = blueprint.ladder.climbed(decode(state, self._state_target))
        try:
            self._put_state(validate(plain, blueprint.adapter, self._state_target))
        except ValidationError as misfit:
            fields = "; ".join(
                f"{'.'.join(map(str, issue.path)) or 'the whole value'}: {issue.message}"
                for issue in misfit.issues
            )
            raise ValidationError(
                misfit.group,
                misfit.code,
                f"State of {self._blueprint.name} no longer fits {blueprint.type_name}: {fields}",
                metadata=misfit.metadata,
            ) from misfit

    def encode_state(self) -> bytes:
        blueprint, target = self._state_blueprint, self._state_target
        state: object = getattr(self._actor, "state")  # noqa: B009 - declared by the author's class only
        return encode(blueprint.ladder.marked(to_plain(state, blueprint.adapter, target)), target)

    async def create_vars(self) -> None:
        if self._blueprint.overrides("create_vars"):
            with _user_code(None):
                made = await self._actor.create_vars()
        elif self._blueprint.default_vars is not UNSET:
            made = copy.deepcopy(self._blueprint.default_vars)
        else:
            return
        setattr(self._actor, "vars", made)  # noqa: B010 - declared by the author's class only

    async def on_create(self, input: bytes | None) -> None:
        with _user_code(None):
            await self._actor.on_create()

    async def on_wake(self) -> None:
        with _user_code(None):
            await self._actor.on_wake()

    @property
    def resources(self) -> Sequence[CoreResource]:
        return [(where, partial(self._held, declared)) for where, declared in self._blueprint.resources]

    @property
    def runs(self) -> bool:
        return self._blueprint.overrides("run")

    async def on_migrate(self, is_new: bool) -> None:
        with _user_code(None):
            await self._actor.on_migrate(is_new)

    async def on_sleep(self) -> None:
        with _user_code(None):
            await self._actor.on_sleep()

    async def run(self) -> None:
        with _user_code(None):
            await self._actor.run()

    async def on_destroy(self) -> None:
        with _user_code(None):
            await self._actor.on_destroy()

    async def on_state_change(self) -> None:
        with _user_code(None):
            await self._actor.on_state_change()

    async def before_connect(self, conn: Connection) -> None:
        blueprint = self._blueprint
        params = load(conn.params, blueprint.conn_params, "connection params")
        typed = Conn[Any, Any](conn, params, blueprint.conn_state)
        conn.attachment = typed
        if "on_before_connect" in self._connection_hooks:
            with _user_code(typed):
                await self._actor.on_before_connect(params)

    async def create_conn_state(self, conn: Connection) -> None:
        if "create_conn_state" not in self._connection_hooks:
            return
        typed = _typed(conn)
        with _user_code(typed):
            typed.state = await self._actor.create_conn_state(typed.params)

    def encode_conn_state(self, conn: Connection) -> bytes:
        state = _typed(conn).__rivet_state__
        return NULL if state is None else dump(state, self._blueprint.conn_state, "connection state")

    def restore_conn(self, conn: Connection, state: bytes) -> None:
        blueprint = self._blueprint
        params = load(conn.params, blueprint.conn_params, "connection params")
        typed = Conn[Any, Any](conn, params, blueprint.conn_state)
        if state != NULL:
            typed.__rivet_state__ = load(state, blueprint.conn_state, "connection state")
        conn.attachment = typed

    async def on_connect(self, conn: Connection) -> None:
        typed = _typed(conn)
        with _user_code(typed):
            await self._actor.on_connect(typed)

    async def on_disconnect(self, conn: Connection) -> None:
        typed = _typed(conn)
        with _user_code(typed):
            await self._actor.on_disconnect(typed)

    @property
    def guards_subscriptions(self) -> bool:
        return self._guards_subscriptions

    async def admit_subscription(self, event: str, conn: Connection) -> None:
        ref = self._blueprint.events.get(event)
        with _user_code(_typed(conn)):
            await self._actor.on_before_subscribe(event)
            if ref is not None and not verdict(await self._actor.can_subscribe(ref), "can_subscribe"):
                raise error("auth.forbidden")

    async def run_action(self, name: str, args: bytes, conn: Connection | None) -> bytes:
        found = self._blueprint.actions.get(name)
        if found is None:
            raise error("actor.action_not_found", name=name)
        codec = found.codec
        positional, keywords = codec.decode_args(args, f"action `{name}` arguments")
        with _user_code(None if conn is None else _typed(conn)):
            output = await _settled(found.function(self._receiver(found), *positional, **keywords))
            if self._replaces_output:
                replaced = await self._replaced(found, (*positional, *keywords.values()), output)
                if replaced is not None:
                    return replaced
            return codec.encode_output(output, f"action `{name}` output")

    @property
    def serves_http(self) -> bool:
        return self._web.serves_http

    @property
    def serves_websockets(self) -> bool:
        return self._web.serves_websockets

    def can_hibernate(self, scope: Scope) -> bool:
        return self._web.can_hibernate(scope, self._core.config.can_hibernate_websocket)

    async def on_request(self, conn: Connection, scope: Scope, receive: Receive, send: Send) -> None:
        with _user_code(_typed(conn)):
            await self._web.request(scope, receive, send)

    async def on_websocket(self, conn: Connection, scope: Scope, receive: Receive, send: Send) -> None:
        with _user_code(_typed(conn)):
            await self._web.websocket(scope, receive, send)

    async def admit_message(self, queue: str, body: bytes, conn: Connection) -> AdmittedMessage:
        ref = self._blueprint.queues[queue]
        with _user_code(_typed(conn)):
            if not verdict(await self._actor.can_publish(ref), "can_publish"):
                raise error("auth.forbidden")
        message = ref.decode_body(body)
        return AdmittedMessage(ref.encode_body(message), ref.key_of(message))

    @asynccontextmanager
    async def _held(self, resource: Resource[Any]) -> AsyncGenerator[None]:
        with _user_code(None):
            async with resource.held(self._actor):
                yield

    async def _replaced(self, found: FoundAction, args: tuple[object, ...], output: object) -> bytes | None:
        """The reply ``on_before_action_response`` makes of a result; None if it failed."""
        try:
            async with self._core.clock.timeout(self._core.config.action_timeout):
                replacement = await self._actor.on_before_action_response(found.name, args, output)
            return found.codec.encode_output(replacement, f"action `{found.name}` output")
        except Exception:
            self._core.log.exception("on_before_action_response failed; the original result is sent")
            return None

    def _receiver(self, found: FoundAction) -> object:
        receiver: object = self._actor
        for attribute in found.path:
            receiver = getattr(receiver, attribute)
        return receiver

    @property
    def _state_blueprint(self) -> StateBlueprint:
        if self._blueprint.state is None:
            raise error("actor.state_not_enabled")
        return self._blueprint.state

    @property
    def _state_target(self) -> str:
        return f"state of {self._blueprint.name}"

    def _put_state(self, value: object) -> None:
        # Not an assignment by the author, so it does not pass through the slot.
        vars(self._actor)["state"] = value


def _typed(conn: Connection) -> Conn[Any, Any]:
    attached = conn.attachment
    if not isinstance(attached, Conn):
        raise error(
            "actor.invalid_operation", operation="a connection hook", reason="it was not admitted yet"
        )
    return cast("Conn[Any, Any]", attached)


async def _settled(outcome: object) -> object:
    if type(outcome) is CoroutineType or inspect.isawaitable(outcome):  # the former is quicker to see
        return await cast("Awaitable[object]", outcome)
    return outcome


class _user_code(calling):
    """Run author code with its caller known; what it raises passes, with metadata made plain."""

    def __exit__(self, kind: object, raised: BaseException | None, trace: object) -> None:
        super().__exit__(kind, raised, trace)
        if isinstance(raised, RivetError):
            raised.metadata = plain_metadata(raised.metadata)
