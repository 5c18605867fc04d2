"""Connections of envoys: who may connect, pings, eviction, and what happens when one ends (3 and 5.7)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rivetkit_core.clock import Clock, time_ms
from rivetkit_core.testing.engine.envoys import Connection, Envoy, Hello, Peer
from rivetkit_core.testing.engine.lifecycle import Lifecycle
from rivetkit_core.testing.engine.settings import EngineSettings
from rivetkit_core.wire.envoy.messages import EnvoyInit, Ping

PROTOCOLS = range(2, 9)


class Connections:
    """Every envoy that connected and is not forgotten, in that order.

    Attributes:
        pools: Names that have a runner config.
        namespaces: Names that exist.
    """

    def __init__(
        self, clock: Clock, settings: EngineSettings, timed_out: Callable[[Connection], None]
    ) -> None:
        self.envoys: dict[tuple[str, str], Envoy] = {}
        self.namespaces = {"default"}
        self.pools = {"default"}
        self.connected = 0
        self._clock = clock
        self._settings = settings
        self._timed_out = timed_out

    def all(self) -> list[Envoy]:
        return list(self.envoys.values())

    def open(self, hello: Hello, peer: Peer) -> Connection:
        """Take a connection; whether it is welcome is decided by ``welcome``."""
        self.connected += 1
        place = hello.namespace, hello.envoy_key
        envoy = self.envoys.get(place) or Envoy(hello)
        return Connection(envoy, peer, hello.protocol)

    def refusal(self, hello: Hello) -> str | None:
        """Why an envoy may not connect."""
        if hello.protocol not in PROTOCOLS:
            return "ws.invalid_request"
        if hello.namespace not in self.namespaces:
            return "namespace.not_found"
        return None if hello.pool in self.pools else "ws.no_runner_config"

    def welcome(self, connection: Connection, hello: Hello, pings: Callable[[], bool]) -> None:
        """Make it the envoy's connection; an older one is evicted."""
        envoy = connection.envoy
        if envoy.connection is not None:
            self.end(envoy.connection, 1000, "ws.eviction#ray")
        self.envoys[hello.namespace, hello.envoy_key] = envoy
        envoy.hello, envoy.connection, envoy.draining = hello, connection, False
        if envoy.lost_timer is not None:
            envoy.lost_timer.cancel()
            envoy.lost_timer = None
        connection.ready = True
        connection.last_pong = self._clock.monotonic()
        settings = self._settings
        connection.peer.deliver(
            EnvoyInit(
                settings.lost_threshold_ms, settings.stop_threshold_ms, settings.max_response_payload_size
            )
        )
        envoy.replay()
        self._schedule_ping(connection, pings)

    def end(self, connection: Connection, code: int, reason: str) -> None:
        """Close from the engine's side; the caller then tells ``ended``."""
        self._detach(connection)
        connection.peer.end(code, reason)

    def ended(self, connection: Connection, lifecycle: Lifecycle) -> None:
        """The connection is over, whoever ended it."""
        self._detach(connection)
        envoy = connection.envoy
        known = self.envoys.get((envoy.hello.namespace, envoy.hello.envoy_key)) is envoy
        if not known or envoy.connection is not None or envoy.lost_timer is not None:
            return
        delay = self._settings.lost_threshold_ms / 1000

        def lose() -> None:
            envoy.lost_timer = None
            lifecycle.lose(envoy)

        envoy.lost_timer = self._clock.call_later(delay, lose)

    def forget_timers(self, envoys: Iterable[Envoy]) -> None:
        for envoy in envoys:
            if envoy.lost_timer is not None:
                envoy.lost_timer.cancel()
                envoy.lost_timer = None

    def _detach(self, connection: Connection) -> None:
        connection.is_open = connection.ready = False
        if connection.ping_timer is not None:
            connection.ping_timer.cancel()
            connection.ping_timer = None
        if connection.envoy.connection is connection:
            connection.envoy.connection = None

    def _schedule_ping(self, connection: Connection, pings: Callable[[], bool]) -> None:
        def ping() -> None:
            silence = self._clock.monotonic() - connection.last_pong
            if pings() and silence >= self._settings.ping_timeout_ms / 1000:
                self._timed_out(connection)
                return
            if pings():
                connection.peer.deliver(Ping(time_ms(self._clock)))
            self._schedule_ping(connection, pings)

        delay = self._settings.ping_interval_ms / 1000
        connection.ping_timer = self._clock.call_later(delay, ping)
