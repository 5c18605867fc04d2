"""Connections as actor code sees them: validated parameters, typed per-connection state, the caller.

Which connection is calling is a context variable, set around every action and hook; tasks an action
starts inherit it.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Generic, cast

from typing_extensions import TypeVar

from rivetkit._validation import Adapter, validate
from rivetkit_core.errors import error

if TYPE_CHECKING:
    from rivetkit_core.actor.connections import Connection

Params = TypeVar("Params", default=None)
State = TypeVar("State", default=None)


class Conn(Generic[Params, State]):
    """One client's connection. Annotate ``conn: Conn[Member, None]`` on the actor to type them all.

    ``Params`` is what the client gave when it connected, validated before ``on_before_connect`` runs.
    ``State`` is what ``create_conn_state`` made; it lives as long as the connection, which may be longer than
    the actor is awake.
    """

    def __init__(self, core: Connection, params: Params, state_adapter: Adapter) -> None:
        self.__rivet_core__ = core
        self._params = params
        self.__rivet_state__: object = None
        self._state_adapter = state_adapter

    @property
    def id(self) -> str:
        """Unique among all connections."""
        return self.__rivet_core__.id

    @property
    def params(self) -> Params:
        """What the client gave when it connected."""
        return self._params

    @property
    def state(self) -> State:
        """This connection's own state, stored while the actor sleeps. Assigning validates."""
        self.__rivet_core__.lend_state()
        return cast("State", self.__rivet_state__)

    @state.setter
    def state(self, value: State) -> None:
        self.__rivet_state__ = validate(value, self._state_adapter, "connection state")
        self.__rivet_core__.lend_state()

    @property
    def subscriptions(self) -> frozenset[str]:
        """The names of the events that it hears."""
        return frozenset(self.__rivet_core__.subscriptions)

    @property
    def is_hibernatable(self) -> bool:
        """Whether it stays open while the actor sleeps. The connection of a single call does not."""
        return self.__rivet_core__.hibernation is not None

    async def disconnect(self, reason: str | None = None) -> None:
        """Close the connection; ``reason`` reaches the client. The first reason given counts. Idempotent.

        Raises:
            StorageError: In strict code, what came before could not be stored; the connection stays.
        """
        await self.__rivet_core__.disconnect(reason)

    def __repr__(self) -> str:
        return f"<Conn {self.id}>"


_current: ContextVar[Conn[Any, Any] | None] = ContextVar("rivetkit.conn", default=None)


class calling:
    """Make ``conn`` the caller inside the block; None for hooks that no connection caused."""

    __slots__ = ("_conn", "_token")

    def __init__(self, conn: Conn[Any, Any] | None) -> None:
        self._conn = conn

    def __enter__(self) -> None:
        self._token = _current.set(self._conn)

    def __exit__(self, kind: object, raised: BaseException | None, trace: object) -> None:
        _current.reset(self._token)


class ConnSlot:
    """Stands for an actor's ``conn`` annotation and answers with the calling connection."""

    def __get__(self, instance: object, owner: type[object] | None = None) -> object:
        if instance is None:
            return self
        conn = vars(instance).get("conn") or _current.get()
        if conn is None:
            raise error(
                "actor.invalid_operation",
                operation="self.conn",
                reason="no connection is calling; it exists in actions and connection hooks only",
            )
        return cast("object", conn)

    def __set__(self, instance: object, value: object) -> None:
        vars(instance)["conn"] = value
