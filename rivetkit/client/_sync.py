"""``SyncClient``: the surface of ``Client`` for programs without an event loop."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, overload

from typing_extensions import TypeVar

from rivetkit._contract import Contract
from rivetkit._references import Input
from rivetkit.client._bounds import DEFAULT_TIMEOUT
from rivetkit.client._client import Client, Key
from rivetkit.client._endpoint import EncodingName
from rivetkit.client._handle import ActorHandle
from rivetkit.client._portal import Portal
from rivetkit.client._sync_connection import SyncActorHandle
from rivetkit_core.clock import Clock
from rivetkit_core.entropy import Entropy
from rivetkit_core.host.port import ActorAccess

A = TypeVar("A", bound=Contract)


class SyncClient:
    """Makes blocking handles of actors. Arguments as for ``Client``.

    Use it with ``with``, or call ``close`` when done. It runs an event loop in a thread of its own, from the
    first call on. Several threads may share it. Ctrl-C ends a call that blocks.
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
        self._portal = Portal()
        self._client = Client(
            endpoint,
            namespace=namespace,
            token=token,
            pool=pool,
            encoding=encoding,
            timeout=timeout,
            headers=headers,
            transport=transport,
            clock=clock,
            entropy=entropy,
        )

    def get(self, cls: type[A], key: Key = (), /, *, params: object = None) -> SyncActorHandle[A]:
        """A handle of an actor that must exist; calls raise ``ActorNotFound`` otherwise."""
        return self._handle(self._client.get(cls, key, params=params))

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
        """A handle of an actor that is made when it is first needed, with ``input``, in ``region``."""
        return self._handle(self._client.get_or_create(cls, key, input=input, region=region, params=params))

    def create(
        self,
        cls: type[A],
        key: Key = (),
        /,
        *,
        input: Input[A] | None = None,
        region: str | None = None,
        params: object = None,
        timeout: float | None = None,
    ) -> SyncActorHandle[A]:
        """Make a new actor and return a handle that stays with it.

        Raises:
            RivetError: ``actor.duplicate_key`` if the key is in use.
        """
        return self._handle(
            self._portal.run(
                lambda: self._client.create(
                    cls, key, input=input, region=region, params=params, timeout=timeout
                )
            )
        )

    def get_for_id(self, cls: type[A], actor_id: str, /, *, params: object = None) -> SyncActorHandle[A]:
        """A handle of one very actor; after it was destroyed calls raise ``ActorNotFound``."""
        return self._handle(self._client.get_for_id(cls, actor_id, params=params))

    @overload
    def get_by_name(
        self, name: str, key: Key = (), /, *, params: object = None
    ) -> SyncActorHandle[Contract]: ...
    @overload
    def get_by_name(
        self, name: str, key: Key, contract: type[A], /, *, params: object = None
    ) -> SyncActorHandle[A]: ...
    def get_by_name(
        self, name: str, key: Key = (), contract: type[Any] = Contract, /, *, params: object = None
    ) -> SyncActorHandle[Any]:
        """Like ``get``, for an actor whose class is not at hand; ``contract`` types what it offers."""
        return self._handle(self._client.get_by_name(name, key, contract, params=params))

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
    ) -> SyncActorHandle[Contract]: ...
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
    ) -> SyncActorHandle[A]: ...
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
    ) -> SyncActorHandle[Any]:
        """Like ``get_or_create``, for an actor whose class is not at hand. ``input`` is plain data."""
        return self._handle(
            self._client.get_or_create_by_name(name, key, contract, input=input, region=region, params=params)
        )

    def create_by_name(
        self,
        name: str,
        key: Key = (),
        /,
        *,
        input: object = None,
        region: str | None = None,
        params: object = None,
        timeout: float | None = None,
    ) -> SyncActorHandle[Contract]:
        """Like ``create``, for an actor whose class is not at hand. ``input`` is plain data."""
        return self._handle(
            self._portal.run(
                lambda: self._client.create_by_name(
                    name, key, input=input, region=region, params=params, timeout=timeout
                )
            )
        )

    def close(self) -> None:
        """End every connection, give back the sockets and end the thread. Idempotent."""
        if not self._portal.closed:
            self._portal.run(self._client.aclose)
            self._portal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        self.close()

    def _handle(self, handle: ActorHandle[A]) -> SyncActorHandle[A]:
        return SyncActorHandle(self._portal, handle)
