"""The client for code without an event loop: the same surface, blocking.

An event loop runs on a thread of the client's own; every method hands its work over and waits. Clients,
handles and connections may be shared between threads; a stream has one reader.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Generic, ParamSpec, Self, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal
from typing_extensions import TypeVar as TypeVarWithDefault

from rivetkit._contract import Contract
from rivetkit.client._client import Client, Key
from rivetkit.client._connection import ActorConnection, ConnectionStatus
from rivetkit.client._events import EventStream, WhenFull
from rivetkit.client._handle import ActorHandle, CallsActor
from rivetkit.client._settings import DEFAULT_TIMEOUT
from rivetkit_core.wire.messages import Encoding

if TYPE_CHECKING:
    from rivetkit._references import ActionRef, EventRef, Input

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
A = TypeVarWithDefault("A", bound=Contract)


class SyncClient:
    """Like ``Client``, blocking. Use it in a ``with`` block; its thread ends with the block.

    Takes the arguments of ``Client``, except for a transport of another kind.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        namespace: str | None = None,
        token: str | None = None,
        pool: str | None = None,
        encoding: Encoding | str = Encoding.BARE,
        timeout: float = DEFAULT_TIMEOUT,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._make = partial(
            Client,
            endpoint,
            namespace=namespace,
            token=token,
            pool=pool,
            encoding=encoding,
            timeout=timeout,
            headers=headers,
        )
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None
        self._client: Client | None = None

    def __enter__(self) -> Self:
        self._portal = self._stack.enter_context(start_blocking_portal("asyncio"))
        try:
            self._client = self._portal.call(self._make)
        except BaseException:
            self._stack.close()
            raise
        self._stack.callback(self._portal.call, self._client.aclose)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def get(self, cls: type[A], key: Key = (), /, *, params: object = None) -> SyncActorHandle[A]:
        """A handle to an existing actor."""
        portal, client = self._open()
        return SyncActorHandle(portal, client.get(cls, key, params=params))

    def get_or_create(
        self,
        cls: type[A],
        key: Key = (),
        /,
        *,
        input: Input[A] | None = None,
        region: str | None = None,
        params: object = None,
    ) -> SyncActorHandle[A]:
        """A handle to the actor with this key, made on the first call if it is missing."""
        portal, client = self._open()
        handle = client.get_or_create(cls, key, input=input, region=region, params=params)
        return SyncActorHandle(portal, handle)

    def create(
        self,
        cls: type[A],
        key: Key = (),
        /,
        *,
        input: Input[A] | None = None,
        region: str | None = None,
        params: object = None,
    ) -> SyncActorHandle[A]:
        """Make a new actor; ``actor.duplicate_key`` if the key is in use."""
        portal, client = self._open()
        work = partial(client.create, cls, key, input=input, region=region, params=params)
        return SyncActorHandle(portal, portal.call(work))

    def get_for_id(self, cls: type[A], actor_id: str, /, *, params: object = None) -> SyncActorHandle[A]:
        """A handle to one actor by its id."""
        portal, client = self._open()
        return SyncActorHandle(portal, client.get_for_id(cls, actor_id, params=params))

    def get_by_name(
        self,
        name: str,
        key: Key = (),
        /,
        *,
        create: bool = True,
        input: object = None,
        params: object = None,
    ) -> SyncActorHandle[Contract]:
        """A handle to an actor known by its wire name; call it with ``call_by_name``."""
        portal, client = self._open()
        return SyncActorHandle(
            portal, client.get_by_name(name, key, create=create, input=input, params=params)
        )

    def _open(self) -> tuple[BlockingPortal, Client]:
        if self._portal is None or self._client is None:
            raise RuntimeError("use the client in a with block: with SyncClient(...) as client")
        return self._portal, self._client


class _SyncCalls(Generic[A]):
    def __init__(self, portal: BlockingPortal, target: CallsActor[A]) -> None:
        self._portal = portal
        self._target = target

    def call(self, ref: ActionRef[A, P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run an action and return its result; see ``ActorHandle.call``."""
        return self.action(ref)(*args, **kwargs)

    def action(self, ref: ActionRef[A, P, R], /, *, timeout: float | None = None) -> Callable[P, R]:
        """Bind call options first, then call with the action's own arguments."""
        bound = self._target.action(ref, timeout=timeout)

        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            return self._portal.call(partial(bound, *args, **kwargs))

        return run

    def call_by_name(self, name: str, /, *args: object, timeout: float | None = None) -> object:
        """Run an action known only by name; the result is plain data."""
        return self._portal.call(partial(self._target.call_by_name, name, *args, timeout=timeout))


class SyncActorHandle(_SyncCalls[A]):
    """Like ``ActorHandle``, blocking."""

    def __init__(self, portal: BlockingPortal, handle: ActorHandle[A]) -> None:
        super().__init__(portal, handle)
        self._handle = handle

    def resolve(self) -> str:
        """The actor's id."""
        return self._portal.call(self._handle.resolve)

    def gateway_url(self) -> str:
        """URL of the actor's gateway."""
        return self._portal.call(self._handle.gateway_url)

    def connect(self, *, params: object = None) -> SyncActorConnection[A]:
        """A live connection, opened by ``with`` and closed at the block's end."""

        async def make() -> ActorConnection[A]:
            return self._handle.connect(params=params)

        return SyncActorConnection(self._portal, self._portal.call(make))


class SyncActorConnection(_SyncCalls[A]):
    """Like ``ActorConnection``, blocking."""

    def __init__(self, portal: BlockingPortal, connection: ActorConnection[A]) -> None:
        super().__init__(portal, connection)
        self._connection = connection

    @property
    def status(self) -> ConnectionStatus:
        return self._connection.status

    def __enter__(self) -> Self:
        self._portal.call(self._connection.__aenter__)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._portal.call(self._connection.close)

    def events(
        self, ref: EventRef[A, T], /, *, buffer: int = 1024, when_full: WhenFull = "fail"
    ) -> SyncEventStream[T]:
        """Subscribe to an event; see ``ActorConnection.events``."""

        async def make() -> EventStream[T]:
            return self._connection.events(ref, buffer=buffer, when_full=when_full)

        return SyncEventStream(self._portal, self._portal.call(make))

    def once(self, ref: EventRef[A, T], /, *, timeout: float | None = None) -> T:
        """Wait for the next such event."""
        return self._portal.call(partial(self._connection.once, ref, timeout=timeout))


class SyncEventStream(Generic[T_co]):
    """Like ``EventStream``, blocking."""

    def __init__(self, portal: BlockingPortal, stream: EventStream[T_co]) -> None:
        self._portal = portal
        self._stream = stream

    def __iter__(self) -> Self:
        self._portal.call(self._stream.__aenter__)
        return self

    def __next__(self) -> T_co:
        return self.next()

    def next(self, *, timeout: float | None = None) -> T_co:
        """The next event.

        Raises:
            TimeoutError: None came within ``timeout`` seconds.
            StopIteration: The connection was closed.
        """

        async def take() -> tuple[bool, T_co | None]:
            try:
                async with asyncio.timeout(timeout):
                    return True, await self._stream.__anext__()
            except StopAsyncIteration:
                return False, None

        found, event = self._portal.call(take)
        if not found:
            raise StopIteration
        return event  # pyright: ignore[reportReturnType]  # None only if T_co allows it

    def __enter__(self) -> Self:
        self._portal.call(self._stream.__aenter__)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._portal.call(partial(self._stream.__aexit__, exc_type, exc, traceback))
