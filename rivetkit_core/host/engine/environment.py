"""From settings to a way to connect: looks at the engine, makes the pool ready, picks the protocol."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from rivetkit_core.clock import Clock
from rivetkit_core.entropy import Entropy, new_uuid
from rivetkit_core.errors import ProtocolError, RivetError, error
from rivetkit_core.host.engine.api import EngineApi
from rivetkit_core.host.engine.link import Dialer
from rivetkit_core.host.engine.process import EngineProcess
from rivetkit_core.host.engine.resources import EngineMetadata
from rivetkit_core.host.engine.settings import EngineSettings
from rivetkit_core.host.engine.websocket import EnvoyAddress, WebSocketDialer
from rivetkit_core.wire.envoy.codec import choose_version

_PATIENCE = 30.0
_PAUSE = 0.25
_API_TIMEOUT = 5.0


class EngineEnvironment:
    """One process's way to one engine, which it starts itself if it is given an ``EngineProcess``.

    The envoy key is made anew by each process, and kept over reconnects.

    Args:
        stays: Whether others of the pool outlive this process; asked when it ends. Who ends them all says no.
    """

    def __init__(
        self,
        settings: EngineSettings,
        *,
        clock: Clock,
        entropy: Entropy,
        process: EngineProcess | None = None,
        stays: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        self._settings = settings
        self._stays = stays
        self._clock = clock
        self._process = process
        self.envoy_key = new_uuid(entropy)

    @property
    def endpoint(self) -> str:
        return self._settings.endpoint

    @property
    def namespace(self) -> str:
        return self._settings.namespace

    async def prepare(self) -> Dialer:
        """Start the engine if it is ours, wait for it, and see to it that the pool has a configuration.

        Raises:
            RivetError: ``engine.unreachable`` after half a minute; ``engine.refused``, with what to change.
        """
        settings = self._settings
        if self._process is not None:
            await self._process.start()
        async with self._api() as api:
            metadata = await self._engine_metadata(api)
            try:
                version = choose_version(metadata.envoy_protocol_version)
            except ProtocolError as failure:
                raise self._refused(failure.reason) from None
            await self._ensure_pool(api)
        address = EnvoyAddress(
            endpoint=settings.endpoint,
            namespace=settings.namespace,
            pool=settings.pool,
            envoy_key=self.envoy_key,
            version=settings.version,
            token=settings.token,
        )
        return WebSocketDialer(address, version, self._clock)

    async def has_company(self) -> bool:
        """Whether other envoys of the pool run a version at least as new; if in doubt, yes."""
        if self._stays is not None and not await self._stays():
            return False
        try:
            async with self._api() as api:
                envoys = await api.list_envoys(self._settings.pool)
        except RivetError:
            return True
        return any(
            envoy.envoy_key != self.envoy_key
            and envoy.stop_ts is None
            and envoy.version >= self._settings.version
            for envoy in envoys
        )

    async def delete(self, actor_id: str) -> None:
        """Destroy an actor; returns when it has stopped.

        Raises:
            RivetError: ``engine.unreachable``, or what the engine said.
        """
        async with self._api() as api:
            await api.delete_actor(actor_id)

    async def close(self) -> None:
        """End what ``prepare`` started. Idempotent."""
        if self._process is not None:
            await self._process.stop()

    def _api(self) -> EngineApi:
        settings = self._settings
        return EngineApi(
            settings.endpoint,
            clock=self._clock,
            namespace=settings.namespace,
            token=settings.token,
            request_timeout=_API_TIMEOUT,
        )

    async def _engine_metadata(self, api: EngineApi) -> EngineMetadata:
        """Programs of one deployment start in any order: the engine may need a moment."""
        give_up_at = self._clock.monotonic() + _PATIENCE
        while True:
            try:
                return await api.metadata()
            except ProtocolError as failure:
                raise self._refused(f"it does not answer like an engine ({failure.reason})") from None
            except RivetError as failure:
                if failure.code == "unexpected_answer":
                    raise self._refused("what answers there is no engine") from None
                if failure.code != "unreachable" or self._clock.monotonic() >= give_up_at:
                    raise
            await self._clock.sleep(_PAUSE)

    async def _ensure_pool(self, api: EngineApi) -> None:
        try:
            if not await api.runner_config(self._settings.pool):  # what somebody configured stays as it is
                await api.ensure_pool(self._settings.pool)
        except RivetError as failure:
            match failure.group, failure.code:
                case "namespace", "not_found":
                    name = self._settings.namespace
                    raise self._refused(
                        f"it has no namespace {name!r}. Create it, or set RIVET_NAMESPACE to one it has"
                    ) from None
                case "api", "forbidden":
                    raise self._refused(
                        "the token is missing or not the right one: check RIVET_TOKEN"
                    ) from None
                case _:
                    raise

    def _refused(self, reason: str) -> RivetError:
        return error("engine.refused", endpoint=self._settings.endpoint, reason=reason)
