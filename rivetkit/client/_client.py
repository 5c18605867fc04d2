"""``Client``: the way to actors, over HTTP and websockets or inside this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self, cast, overload

from typing_extensions import TypeVar

from rivetkit._actor import Actor
from rivetkit._compiler import wire_name
from rivetkit._contract import Contract
from rivetkit._references import Input
from rivetkit.client._bounds import DEFAULT_TIMEOUT, bounded
from rivetkit.client._endpoint import EncodingName, Settings
from rivetkit.client._handle import ActorHandle
from rivetkit.client._payload import encode_input
from rivetkit.client._scope import ClientScope
from rivetkit.client._transport_http import HttpAccess
from rivetkit_core.clock import Clock, SystemClock
from rivetkit_core.entropy import Entropy, SystemEntropy
from rivetkit_core.host.port import ActorAccess, ActorKey, ById, ByKey

A = TypeVar("A", bound=Contract)

Key = str | Sequence[str]


class Client:
    """Makes handles of actors.

    Use it as an async context manager, or call ``aclose`` when done. It belongs to the event loop in which
    it is used first.

    Args:
        endpoint: Where the server is; ``RIVET_ENGINE``, ``RIVET_ENDPOINT``, else http://127.0.0.1:6420. Its
            user and password, if any, are namespace and token.
        namespace: ``RIVET_NAMESPACE``, else the endpoint's user, else ``default``.
        token: ``RIVET_TOKEN``, else the endpoint's password, else none.
        pool: Pool in which new actors are placed; ``RIVET_POOL``, else ``default``.
        encoding: How messages travel. What arrives is the same.
        timeout: Seconds a call may take unless it says otherwise. The default is a little more than a server
            gives an action.
        headers: Sent with every request.
        transport: How actors are reached, instead of an endpoint. The client does not close it.

    Raises:
        RivetError: ``validation.invalid_input`` for an endpoint that is not valid.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        namespace: str | None = None,
        token: str | None = None,
        pool: str | None = None,
        encoding: EncodingName = "bare",
        timeout: float = DEFAULT_TIMEOUT,
        headers: Mapping[str, str] | None = None,
        transport: ActorAccess | None = None,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
    ) -> None:
        clock, entropy = clock or SystemClock(), entropy or SystemEntropy()
        self._owned: HttpAccess | None = None
        if transport is None:
            settings = Settings.read(endpoint, namespace, token, pool, encoding, headers)
            transport = self._owned = HttpAccess(settings, clock=clock, entropy=entropy)
        self._scope = ClientScope(transport, clock, entropy, timeout)

    def get(self, cls: type[A], key: Key = (), /, *, params: object = None) -> ActorHandle[A]:
        """A handle of an actor that must exist; calls raise ``ActorNotFound`` otherwise.

        Args:
            cls: The actor's class, or a contract that has its name.
            key: A string, or several.
            params: What the actor's connection hooks are given for every call.
        """
        return self._handle(ByKey(name_of(cls), key_of(key)), params)

    def get_or_create(
        self,
        cls: type[A],
        key: Key = (),
        /,
        *,
        input: Input[A] | None = None,
        region: str | None = None,
        params: object = None,
    ) -> ActorHandle[A]:
        """A handle of an actor that is made when it is first needed, with ``input``, in ``region``."""
        target = ByKey(name_of(cls), key_of(key), create=True, input=encode_input(input), region=region)
        return self._handle(target, params)

    async def create(
        self,
        cls: type[A],
        key: Key = (),
        /,
        *,
        input: Input[A] | None = None,
        region: str | None = None,
        params: object = None,
        timeout: float | None = None,
    ) -> ActorHandle[A]:
        """Make a new actor and return a handle that stays with it.

        Raises:
            RivetError: ``actor.duplicate_key`` if the key is in use.
        """
        actor_id = await self._create(name_of(cls), key, input, region, timeout)
        return self._handle(ById(actor_id), params)

    def get_for_id(self, cls: type[A], actor_id: str, /, *, params: object = None) -> ActorHandle[A]:
        """A handle of one very actor; after it was destroyed calls raise ``ActorNotFound``."""
        return self._handle(ById(actor_id), params)

    @overload
    def get_by_name(self, name: str, key: Key = (), /, *, params: object = None) -> ActorHandle[Contract]: ...
    @overload
    def get_by_name(
        self, name: str, key: Key, contract: type[A], /, *, params: object = None
    ) -> ActorHandle[A]: ...
    def get_by_name(
        self, name: str, key: Key = (), contract: type[Any] = Contract, /, *, params: object = None
    ) -> ActorHandle[Any]:
        """Like ``get``, for an actor whose class is not at hand; ``contract`` types what it offers."""
        return self._handle(ByKey(name, key_of(key)), params)

    @overload
    def get_or_create_by_name(
        self,
        name: str,
        key: Key = (),
        /,
        *,
        input: object = None,
        region: str | None = None,
        params: object = None,
    ) -> ActorHandle[Contract]: ...
    @overload
    def get_or_create_by_name(
        self,
        name: str,
        key: Key,
        contract: type[A],
        /,
        *,
        input: object = None,
        region: str | None = None,
        params: object = None,
    ) -> ActorHandle[A]: ...
    def get_or_create_by_name(
        self,
        name: str,
        key: Key = (),
        contract: type[Any] = Contract,
        /,
        *,
        input: object = None,
        region: str | None = None,
        params: object = None,
    ) -> ActorHandle[Any]:
        """Like ``get_or_create``, for an actor whose class is not at hand. ``input`` is plain data."""
        target = ByKey(name, key_of(key), create=True, input=encode_input(input), region=region)
        return self._handle(target, params)

    async def create_by_name(
        self,
        name: str,
        key: Key = (),
        /,
        *,
        input: object = None,
        region: str | None = None,
        params: object = None,
        timeout: float | None = None,
    ) -> ActorHandle[Contract]:
        """Like ``create``, for an actor whose class is not at hand. ``input`` is plain data."""
        return self._handle(ById(await self._create(name, key, input, region, timeout)), params)

    async def aclose(self) -> None:
        """End every connection of this client and give back its sockets. Idempotent."""
        self._scope.closed = True
        for connection in list(self._scope.connections):
            self._scope.connections.discard(connection)
            await connection.close()
        if self._owned is not None:
            await self._owned.aclose()

    async def __aenter__(self) -> Self:
        self._scope.require_open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        await self.aclose()

    def _handle(self, target: ById | ByKey, params: object) -> ActorHandle[Any]:
        return ActorHandle(self._scope, target, params)

    async def _create(
        self, name: str, key: Key, input: object, region: str | None, timeout: float | None
    ) -> str:
        scope = self._scope
        scope.require_open()
        creating = scope.access.create(name, key_of(key), input=encode_input(input), region=region)
        return await bounded(scope.clock, scope.seconds(timeout), creating)


def key_of(key: Key) -> ActorKey:
    """A key as an ordered list of strings.

    Raises:
        TypeError: It is something else; nothing is converted, so that 1 and "1" cannot be mixed up.
    """
    if isinstance(key, str):
        return (key,)
    given = cast("object", key)
    if isinstance(given, bytes) or not isinstance(given, Sequence):
        raise TypeError(f"an actor key is a string or a list of strings, not {given!r}")
    for part in cast("Sequence[object]", given):
        if not isinstance(part, str):
            raise TypeError(f"an actor key consists of strings, not {part!r}: write {str(part)!r}")
    return tuple(key)


def name_of(cls: type[Contract]) -> str:
    """What the actor is called on the wire.

    Raises:
        TypeError: The class is a contract, which does not say which actor it describes; or it is no class.
    """
    given = cast("object", cls)
    if isinstance(given, str):
        raise TypeError(f"an actor is named by its class; by name use get_or_create_by_name({given!r}, key)")
    if not isinstance(given, type):
        raise TypeError(f"an actor is named by its class, not by {given!r}")
    if issubclass(cls, Actor):
        return wire_name(cls)
    name = getattr(cls, "__rivet_name__", None)
    if not isinstance(name, str):
        raise TypeError(
            f"{cls.__name__} is a contract and has no actor name: use "
            f'client.get_by_name("name", key, {cls.__name__}) or get_or_create_by_name'
        )
    return name
