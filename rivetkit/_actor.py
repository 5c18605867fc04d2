"""The base class of every actor, and the decorator that names it and sets its options.

Public members are few, since authors share the namespace: ``ctx`` and the hooks. ``state``, ``vars`` and
``conn`` are annotations an author may add. Nothing here registers anything.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict, Unpack, cast, overload

from typing_extensions import TypeVar

from rivetkit._authoring import InvalidActor, Undeclared
from rivetkit._connection import Conn, ConnSlot
from rivetkit._contract import Contract
from rivetkit._state import StateSlot
from rivetkit._validation import UNSET
from rivetkit_core.config import ActorConfig, Durability, RunErrorPolicy
from rivetkit_core.errors import error

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection, Request
    from starlette.types import ASGIApp
    from starlette.websockets import WebSocket

    from rivetkit._context import Context
    from rivetkit._job import QueueRef
    from rivetkit._references import EventRef

C = TypeVar("C", bound="type[Actor]")


class ActorOptions(TypedDict, total=False):
    """Options of ``@actor``. Durations are seconds, sizes are bytes; a subclass inherits them."""

    icon: str
    display_name: str
    durability: Durability
    state_save_interval: float
    create_state_timeout: float
    create_vars_timeout: float
    create_conn_state_timeout: float
    on_create_timeout: float
    on_migrate_timeout: float
    on_wake_timeout: float
    on_before_connect_timeout: float
    on_connect_timeout: float
    on_destroy_timeout: float | None
    action_timeout: float
    on_request_timeout: float
    sleep_timeout: float
    no_sleep: bool
    can_hibernate_websocket: bool | Callable[[HTTPConnection], bool]
    hibernatable_conns_block_sleep: bool
    sleep_grace_period: float
    shutdown_grace_period: float
    on_sleep_timeout: float
    wait_until_timeout: float
    run_stop_timeout: float
    connection_liveness_timeout: float
    connection_liveness_interval: float
    run_error_policy: RunErrorPolicy
    max_queue_size: int
    max_queue_message_size: int
    max_incoming_message_size: int
    max_outgoing_message_size: int
    dispatch_inbox_capacity: int
    connection_backlog: int
    max_schedules: int


class Actor(Contract):
    """Base of every actor: annotate ``state``, declare actions and events, override hooks.

    Hooks are ``async def``. Each has a deadline, an option of ``@actor``. What a hook or action raises
    reaches clients only if it is a ``UserError`` or another public error.

    An actor can be made and used without a runtime, in a unit test: ``state`` is then a plain attribute,
    broadcasts go nowhere and ``ctx`` is refused.
    """

    __rivet_name__: ClassVar[str | None] = None
    __rivet_options__: ClassVar[Mapping[str, object]] = {}
    __rivet_context__: Context | None = None

    if not TYPE_CHECKING:  # a checker knows which of them an author declared
        state = Undeclared("state", "state: int = 0")
        conn = Undeclared("conn", "conn: Conn[Params, State]")

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        annotated = inspect.get_annotations(cls)
        if "state" in annotated or "state" in vars(cls):
            setattr(cls, "state", StateSlot(vars(cls).get("state", UNSET)))  # noqa: B010 - authors own it
        if "conn" in annotated:
            setattr(cls, "conn", ConnSlot())  # noqa: B010 - authors own it

    @property
    def ctx(self) -> Context:
        """What the runtime offers: identity, connections, client, saving, destroying.

        Raises:
            RivetError: ``actor.invalid_operation`` on an actor that was made by hand.
        """
        if self.__rivet_context__ is None:
            raise error(
                "actor.invalid_operation",
                operation="self.ctx",
                reason="this actor was made without a runtime",
            )
        return self.__rivet_context__

    async def create_vars(self) -> Any:
        """Make ``vars``: anything that lives as long as this generation and is never stored."""

    async def create_conn_state(self, params: Any, /) -> Any:
        """Make the state of a new connection."""

    async def on_create(self) -> None:
        """Runs once in the life of the actor, after its state was made."""

    async def on_wake(self) -> None:
        """Runs on every start, before the first action."""

    async def on_migrate(self, is_new: bool, /) -> None:
        """Runs first on every start, before there is a state, to change what is stored beside it."""

    async def on_sleep(self) -> None:
        """Runs when the actor stops for now, before its state is saved. Calls that were accepted go on."""

    async def run(self) -> None:
        """The background loop: begins when the actor has started, and has to end when it is aborted.

        The actor stays awake while it runs, except while it waits for a message of a queue. Returning is no
        failure. See the option ``run_error_policy`` for what raising means.
        """

    async def on_destroy(self) -> None:
        """Runs once, before the actor's data is deleted."""

    async def on_state_change(self) -> None:
        """Runs after a batch of changes. Must not change the state; derived values belong in ``vars``."""

    async def on_before_connect(self, params: Any, /) -> None:
        """Runs before a connection exists; raising refuses it."""

    async def on_connect(self, conn: Conn[Any, Any], /) -> None:
        """Runs when a connection is in place; raising closes it."""

    async def on_disconnect(self, conn: Conn[Any, Any], /) -> None:
        """Runs after a connection is gone, whoever closed it."""

    async def on_request(self, request: Request, /) -> ASGIApp:
        """Answers a raw HTTP request: return a Starlette response, or any other ASGI application.

        What an application is returned for must not have read the request's body. Cancelled when the client
        goes away; the answer has to begin within ``on_request_timeout``.
        """
        raise error("actor.invalid_operation", operation="on_request", reason="the actor has no such hook")

    async def on_websocket(self, websocket: WebSocket, /) -> None:
        """Serves a raw websocket; it is closed when this returns.

        The actor stays awake while it is open, unless ``can_hibernate_websocket``: then this is cancelled
        when the actor sleeps, and called again when it wakes. ``self.conn`` is the connection.
        """

    async def create_app(self) -> ASGIApp:
        """Make the application that answers all raw requests and websockets, instead of the two hooks.

        Runs once in every life of the actor, when the first of them comes.
        """
        raise error("actor.invalid_operation", operation="create_app", reason="the actor has no such hook")

    async def on_before_subscribe(self, event: str, /) -> None:
        """Runs before ``can_subscribe``, also for names that are no declared event; raising refuses."""

    async def can_subscribe(self, event: EventRef[Any, Any], /) -> bool:
        """Whether the client that is calling may hear ``event``; compare with ``==``."""
        return True

    async def can_publish(self, queue: QueueRef[Any, Any, Any], /) -> bool:
        """Whether the client that is calling may send to ``queue``; compare with ``==``."""
        return True

    async def on_before_action_response(self, name: str, args: tuple[object, ...], output: Any, /) -> Any:
        """May replace the result of an action. Best effort: if it fails, the original result is sent."""
        return output


_DEPRECATED = frozenset({"on_sleep_timeout", "run_stop_timeout"})
_DEPRECATION = "one period covers everything that an ending actor does; set sleep_grace_period instead"


@overload
def actor(cls: C, /) -> C: ...
@overload
def actor(*, name: str | None = None, **options: Unpack[ActorOptions]) -> Callable[[C], C]: ...
def actor(cls: type[Actor] | None = None, /, *, name: str | None = None, **options: object) -> object:
    """Name an actor class and set its options; returns the class unchanged.

    Args:
        name: What clients in every language call it; the class name with a small first letter if not given.
        options: See ``ActorOptions``. ``on_sleep_timeout`` and ``run_stop_timeout`` are deprecated.

    Raises:
        ConfigError: An option is unknown or out of range.
    """

    for option in _DEPRECATED & options.keys():
        warnings.warn(f"{option}: {_DEPRECATION}", DeprecationWarning, stacklevel=2)
    if isinstance(cls, str):
        raise TypeError(f"@actor takes options by name: write `@actor(name={cls!r})`")

    def apply(target: C) -> C:
        if not issubclass(target, Actor):
            raise InvalidActor(f"{target.__name__} is not an actor: write `class {target.__name__}(Actor)`")
        inherited = target.__rivet_options__
        target.__rivet_options__ = {**inherited, **options}
        target.__rivet_name__ = name
        ActorConfig.from_input(target.__rivet_options__)
        return target

    return apply if cls is None else apply(cast("type[Any]", cls))
