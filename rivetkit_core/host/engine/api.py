"""The engine's management API over HTTP (envoy-protocol 2): namespaces, pools, envoys and actors.

Every request has a bound and no retry, but for ``ensure_pool`` and ``wait_for_pool``, which exist to wait.
All methods raise what ``EngineRequests.call`` does. Knows nothing about processes and nothing about the
connection that actors run on.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import httpx

from rivetkit_core.clock import Clock, within
from rivetkit_core.errors import ProtocolError, RivetError, error
from rivetkit_core.host.engine.requests import REQUEST_TIMEOUT, EngineRequests, may_pass
from rivetkit_core.host.engine.resources import (
    Datacenter,
    EngineActor,
    EngineMetadata,
    Envoy,
    Health,
    Json,
    Namespace,
    NormalPool,
    PoolConfig,
    PoolStatus,
    StoredValue,
    as_object,
    flag,
    listed,
    text,
    whole,
)
from rivetkit_core.wire.gateway_url import encode_component

DELETE_TIMEOUT = 60.0
"""Seconds for a deletion: the engine answers only when the host has stopped the actor."""

_ENSURE_ATTEMPTS = 60
_ENSURE_PAUSE = 0.5
_POOL_POLL = 0.1
_PAGE = 1000
_DEFAULT_POOL = NormalPool()


class EngineApi:
    """One engine, seen from one namespace. Use it as an async context manager.

    Args:
        endpoint: Base URL without credentials.
        namespace: Name of the namespace that actors, pools and envoys are looked up in.
        token: The engine's admin token, if it wants one; never shown.
        request_timeout: Seconds for one request.
        transport: Instead of real sockets, in tests.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        clock: Clock,
        namespace: str = "default",
        token: str | None = None,
        request_timeout: float = REQUEST_TIMEOUT,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.namespace = namespace
        self._clock = clock
        self._requests = EngineRequests(
            endpoint, clock=clock, token=token, timeout=request_timeout, transport=transport
        )
        self._call = self._requests.call

    def __repr__(self) -> str:
        return f"EngineApi({self.endpoint!r}, namespace={self.namespace!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._requests.aclose()

    async def health(self) -> Health:
        """Who answers at the endpoint; needs no token.

        Raises:
            RivetError: ``engine.unreachable``, or what the server answered.
            ProtocolError: Something answers that is neither an engine nor a RivetKit server.
        """
        return Health.read(await self._call("GET", "/health"))

    async def metadata(self) -> EngineMetadata:
        """Version of the engine and of its envoy protocol; needs no token."""
        return EngineMetadata.read(await self._call("GET", "/metadata"))

    async def datacenters(self) -> tuple[Datacenter, ...]:
        body = as_object(await self._call("GET", "/datacenters"))
        return tuple(Datacenter.read(entry) for entry in listed(body, "datacenters"))

    async def namespaces(self, *names: str) -> tuple[Namespace, ...]:
        """Namespaces of these names, those that exist; without names, the first thousand."""
        if not names:
            return await self._namespaces(("limit", str(_PAGE)))
        found = [await self._namespaces(("name", name)) for name in names]
        return tuple(namespace for page in found for namespace in page)

    async def create_namespace(self, name: str, *, display_name: str | None = None) -> Namespace:
        """Make a namespace.

        Raises:
            RivetError: ``namespace.name_not_unique``, or ``namespace.failed_to_create`` for a bad name.
        """
        content = {"name": name, "display_name": display_name or name}
        body = as_object(await self._call("POST", "/namespaces", content=content))
        return Namespace.read(body.get("namespace"))

    async def ensure_namespace(self, name: str) -> Namespace:
        """The namespace of that name, made if it is missing. Several callers at once are fine."""
        for namespace in await self.namespaces(name):
            return namespace
        try:
            return await self.create_namespace(name)
        except RivetError as failure:
            if failure.code == "name_not_unique":
                for namespace in await self.namespaces(name):
                    return namespace
            raise

    async def runner_config(self, pool: str) -> tuple[PoolStatus, ...]:
        """The pool in each datacenter that has it; empty when there is no such pool."""
        body = as_object(
            await self._call("GET", "/runner-configs", query=self._scoped(("runner_name", pool)))
        )
        found = as_object(body.get("runner_configs")).get(pool)
        if found is None:
            return ()
        places = as_object(as_object(found).get("datacenters"))
        return tuple(PoolStatus.read(datacenter, status) for datacenter, status in places.items())

    async def upsert_runner_config(self, pool: str, config: PoolConfig = _DEFAULT_POOL) -> None:
        """Set what a pool is, in every datacenter, replacing what was there."""
        places = {datacenter.name: config.to_json() for datacenter in await self.datacenters()}
        await self._call(
            "PUT",
            f"/runner-configs/{encode_component(pool)}",
            query=self._scoped(),
            content={"datacenters": places},
        )

    async def ensure_pool(self, pool: str, config: PoolConfig = _DEFAULT_POOL) -> None:
        """``upsert_runner_config``, tried for 30 s while the engine is still coming up.

        Raises:
            RivetError: The last refusal; at once for refusals that waiting does not change.
        """
        for remaining in reversed(range(_ENSURE_ATTEMPTS)):
            try:
                await self.upsert_runner_config(pool, config)
                return
            except RivetError as failure:
                if not remaining or not may_pass(failure):
                    raise
            await self._clock.sleep(_ENSURE_PAUSE)

    async def wait_for_pool(self, pool: str, *, timeout: float = 10.0) -> int:
        """Wait until some envoy has connected to the pool once; the protocol version it spoke.

        Actors created earlier do not start by themselves (envoy-protocol 2.2).

        Raises:
            RivetError: ``engine.pool_not_ready`` after ``timeout`` seconds.
        """
        return await within(
            self._clock,
            timeout,
            self._pool_version(pool),
            lambda: error("engine.pool_not_ready", pool=pool, timeout=timeout),
        )

    async def list_envoys(self, pool: str) -> tuple[Envoy, ...]:
        """Envoys of the pool that are connected."""
        query = self._scoped(("name", pool), ("limit", str(_PAGE)))
        body = as_object(await self._call("GET", "/envoys", query=query))
        return tuple(Envoy.read(entry) for entry in listed(body, "envoys"))

    async def get_actor(self, actor_id: str) -> EngineActor:
        """An actor by its id; one that was destroyed has a ``destroy_ts``.

        Raises:
            ActorNotFound: There is none.
        """
        actors = await self._actors(("actor_ids", actor_id))
        if not actors:
            raise error("actor.not_found", actor_id=actor_id)
        return actors[0]

    async def list_actors(
        self, name: str, *, key: str | None = None, include_destroyed: bool = False
    ) -> tuple[EngineActor, ...]:
        """The first thousand actors of a name, newest first; with a serialized ``key``, at most one."""
        filters = [
            ("name", name),
            ("include_destroyed", str(include_destroyed).lower()),
            ("limit", str(_PAGE)),
        ]
        if key is not None:
            filters.append(("key", key))
        return await self._actors(*filters)

    async def create_actor(
        self,
        name: str,
        key: str | None,
        *,
        pool: str,
        input: bytes | None = None,
        crash_policy: str = "sleep",
        datacenter: str | None = None,
    ) -> EngineActor:
        """Make an actor. ``key`` is serialized.

        Raises:
            RivetError: ``actor.duplicate_key``, with ``existing_actor_id`` in the metadata;
                ``actor.no_runner_config_configured``.
        """
        content = _new_actor(name, key, pool, input, crash_policy, datacenter)
        body = as_object(await self._call("POST", "/actors", query=self._scoped(), content=content))
        return EngineActor.read(body.get("actor"))

    async def get_or_create_actor(
        self,
        name: str,
        key: str,
        *,
        pool: str,
        input: bytes | None = None,
        crash_policy: str = "sleep",
        datacenter: str | None = None,
    ) -> tuple[EngineActor, bool]:
        """The actor of that name and key, and whether this call made it."""
        content = _new_actor(name, key, pool, input, crash_policy, datacenter)
        body = as_object(await self._call("PUT", "/actors", query=self._scoped(), content=content))
        return EngineActor.read(body.get("actor")), flag(body, "created")

    async def delete_actor(self, actor_id: str, *, timeout: float = DELETE_TIMEOUT) -> None:
        """Destroy an actor; returns when its host has stopped it. Harmless to repeat."""
        path = f"/actors/{encode_component(actor_id)}"
        await self._call("DELETE", path, query=self._scoped(), timeout=timeout)

    async def sleep_actor(self, actor_id: str) -> None:
        """Ask the actor's host to put it to sleep."""
        path = f"/actors/{encode_component(actor_id)}/sleep"
        await self._call("POST", path, query=self._scoped(), content={})

    async def reschedule_actor(self, actor_id: str) -> None:
        """Stop the actor where it is and start its next generation."""
        path = f"/actors/{encode_component(actor_id)}/reschedule"
        await self._call("POST", path, query=self._scoped(), content={})

    async def kv_get(self, actor_id: str, key: bytes) -> StoredValue | None:
        """One record of an actor's store; None when there is none."""
        encoded = encode_component(base64.b64encode(key).decode())
        path = f"/actors/{encode_component(actor_id)}/kv/keys/{encoded}"
        try:
            body = as_object(await self._call("GET", path, query=self._scoped()))
        except RivetError as failure:
            if (failure.group, failure.code) == ("actor", "kv_key_not_found"):
                return None
            raise
        try:
            value = base64.b64decode(text(body, "value"), validate=True)
        except binascii.Error as failure:
            raise ProtocolError("value is not base64", label="the engine's answer") from failure
        return StoredValue(value, whole(body, "update_ts"))

    async def _pool_version(self, pool: str) -> int:
        while True:
            for status in await self.runner_config(pool):
                if status.protocol_version is not None:
                    return status.protocol_version
            await self._clock.sleep(_POOL_POLL)

    async def _namespaces(self, *query: tuple[str, str]) -> tuple[Namespace, ...]:
        body = as_object(await self._call("GET", "/namespaces", query=query))
        return tuple(Namespace.read(entry) for entry in listed(body, "namespaces"))

    async def _actors(self, *filters: tuple[str, str]) -> tuple[EngineActor, ...]:
        body = as_object(await self._call("GET", "/actors", query=self._scoped(*filters)))
        return tuple(EngineActor.read(entry) for entry in listed(body, "actors"))

    def _scoped(self, *query: tuple[str, str]) -> Sequence[tuple[str, str]]:
        return (("namespace", self.namespace), *query)


def _new_actor(
    name: str, key: str | None, pool: str, input: bytes | None, crash_policy: str, datacenter: str | None
) -> Json:
    content: dict[str, object] = {
        "name": name,
        "key": key,
        "input": None if input is None else base64.b64encode(input).decode(),
        "runner_name_selector": pool,
        "crash_policy": crash_policy,
    }
    if datacenter is not None:
        content["datacenter"] = datacenter
    return content
