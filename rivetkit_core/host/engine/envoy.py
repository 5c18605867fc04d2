"""The envoy: keeps one connection to the engine alive, and everything on it in order (envoy-protocol 3, 5).

    supervisor   dials, serves a connection until it ends, waits, dials again
    reader       takes each message off the connection at once, answers pings, never waits for user code
    lease        ends this process's right to its actors before the engine moves them

Invariants
    The order on a new connection: metadata; after Init the unacknowledged events, waiting storage requests,
    held tunnel messages.
    What cannot be sent now is either repeated by its owner (events, KV) or held here (tunnel), bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from typing import NoReturn, Protocol

from rivetkit_core.clock import Clock, Timer
from rivetkit_core.entropy import Entropy, jitter
from rivetkit_core.errors import ProtocolError, RivetError, error
from rivetkit_core.host.engine.commands import CommandLog
from rivetkit_core.host.engine.events import EventLog
from rivetkit_core.host.engine.lease import Lease
from rivetkit_core.host.engine.link import Dialer, EnvoyLink, LinkLost
from rivetkit_core.host.engine.storage_requests import Requests
from rivetkit_core.host.engine.verdict import Verdict, judge
from rivetkit_core.wire.envoy.messages import (
    AckEvents,
    ActorEvent,
    CommandEntry,
    Commands,
    EnvoyInit,
    KvResponse,
    Metadata,
    Ping,
    Pong,
    SqlExecResponse,
    SqlExecuteBatchResponse,
    SqlExecuteResponse,
    Stopping,
    ToEnvoy,
    ToEnvoyTunnel,
    ToRivet,
    ToRivetTunnel,
)

log = logging.getLogger("rivetkit.envoy")

_INIT_TIMEOUT = 10.0
_LEASE_BEFORE_INIT = 10.0
_FIRST_RETRY = 0.25
_RETRIES_PER_LEASE = 4
_STABLE_AFTER = 10.0
_ACK_INTERVAL = 2.0
_HELD_TUNNEL_MESSAGES = 4096


class EnvoyOwner(Protocol):
    """Who runs the actors. All methods are called on the event loop and return at once."""

    def on_init(self, init: EnvoyInit) -> None:
        """The engine took a connection, the first one or a later one."""
        ...

    def on_command(self, entry: CommandEntry) -> None:
        """A command that was not handled before."""
        ...

    def on_tunnel(self, message: ToEnvoyTunnel) -> None:
        """Traffic of a client."""
        ...

    def on_lost(self) -> None:
        """From now on the engine may run our actors elsewhere: end them all, write nothing."""
        ...


class Envoy:
    """One process's standing with one engine. ``open`` once, ``close`` once."""

    def __init__(
        self,
        dialer: Dialer,
        owner: EnvoyOwner,
        *,
        endpoint: str,
        namespace: str,
        metadata: Metadata,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._dialer = dialer
        self._owner = owner
        self._endpoint = endpoint
        self._metadata = metadata
        self._clock = clock
        self._entropy = entropy
        self._link: EnvoyLink | None = None
        self._initialized = False
        self._connected = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[EnvoyInit] | None = None
        self._flush_scheduled = False
        self._ack_timer: Timer | None = None
        self._held: deque[ToRivetTunnel] = deque()
        self._draining = False
        self._closing = False
        self._connected_at = 0.0
        self._failures = 0
        self.last_contact: float | None = None
        self.failure: RivetError | None = None
        self.events = EventLog(self._schedule_flush)
        self.requests = Requests(clock, namespace, self._send)
        self.lease = Lease(clock, duration=_LEASE_BEFORE_INIT, on_expired=self._lease_expired)
        self._commands = CommandLog()

    @property
    def is_connected(self) -> bool:
        """Whether the engine has accepted the current connection."""
        return self._initialized

    @property
    def has_ended(self) -> bool:
        """Whether this envoy will never be connected again: closed, refused or evicted."""
        return self._supervisor is None or self._supervisor.done()

    # --- owner's side ---------------------------------------------------------------------------

    async def open(self, timeout: float) -> EnvoyInit:
        """Connect and stay connected; returns at the engine's first Init.

        Raises:
            RivetError: ``engine.refused``: another attempt would end the same way. ``engine.unreachable``:
                there was no Init within ``timeout`` seconds.
        """
        self._ready = asyncio.get_running_loop().create_future()
        self._supervisor = asyncio.create_task(self._supervise(), name="rivetkit envoy")
        bound = self._clock.timeout(timeout)
        try:
            async with bound:
                return await asyncio.shield(self._ready)
        except TimeoutError:
            reason = "no connection yet" if self.failure is None else self.failure.message
            await self.close()
            raise error("engine.unreachable", endpoint=self._endpoint, reason=reason) from None
        except BaseException:
            await self.close()
            raise

    async def connected(self, timeout: float) -> None:
        """Wait until the engine has accepted a connection that still stands.

        Raises:
            RivetError: ``engine.unreachable`` after ``timeout`` seconds.
        """
        try:
            async with self._clock.timeout(timeout):
                await self._connected.wait()
        except TimeoutError:
            reason = "no connection yet" if self.failure is None else self.failure.message
            raise error("engine.unreachable", endpoint=self._endpoint, reason=reason) from None

    def take_commands(self, entries: tuple[CommandEntry, ...]) -> None:
        """Handle commands that came another way than the connection, as if they had come on it."""
        self._on_commands(entries)

    def report(self, actor_id: str, generation: int, *events: ActorEvent) -> None:
        """Tell the engine about one generation; arrives at some time, in order, even over a reconnect."""
        self.events.report(actor_id, generation, *events)

    def send_tunnel(self, message: ToRivetTunnel) -> None:
        """Send client traffic; held, in order and bounded, while there is no connection."""
        if self._send(message):
            return
        if len(self._held) >= _HELD_TUNNEL_MESSAGES:
            log.warning("more client traffic than can be held without a connection: dropping the oldest")
            self._held.popleft()
        self._held.append(message)

    async def tunnel_writable(self) -> None:
        """Wait while the engine does not read what it was sent. Without a connection there is no wait."""
        link = self._link
        if link is not None:
            await link.writable()

    def finish_generation(self, actor_id: str, generation: int) -> None:
        """Nothing more will be said about this generation."""
        self._commands.finish(actor_id, generation)

    def begin_drain(self) -> None:
        """Have the engine move every actor away and send nothing new. Idempotent."""
        if not self._draining:
            self._draining = True
            self._send(Stopping())

    async def close(self) -> None:
        """Close the connection and stop trying. Idempotent."""
        self._closing = True
        supervisor, self._supervisor = self._supervisor, None
        if self._ack_timer is not None:
            self._ack_timer.cancel()
        link = self._link
        if link is not None:
            self._flush()
            self._acknowledge()
            await link.close(1000, "envoy.shutdown")
        self.lease.end()
        if supervisor is not None:
            supervisor.cancel()
            await asyncio.wait([supervisor])
        if self._ready is not None and not self._ready.done():
            self._ready.cancel()

    # --- supervisor -----------------------------------------------------------------------------

    async def _supervise(self) -> None:
        try:
            while True:
                try:
                    lost = await self._connect_and_read()
                finally:
                    self._forget_link()
                if self._closing:
                    return
                verdict = judge(lost, self._endpoint)
                self.failure = verdict.failure
                if verdict.is_final and self._give_up(verdict):
                    return
                await self._wait_before_retry(lost)
        except asyncio.CancelledError:
            raise
        except Exception:  # a bug of ours must not leave actors running without an engine
            log.exception("the envoy failed")
            self._fail(
                error("engine.refused", endpoint=self._endpoint, reason="the envoy failed, see the log")
            )

    async def _connect_and_read(self) -> LinkLost:
        try:
            link = await self._dialer.dial()
        except LinkLost as lost:
            return lost
        self._link = link
        link.send(self._metadata)
        try:
            async with self._clock.timeout(_INIT_TIMEOUT):
                await self._read_until_init(link)
            await self._read(link)
        except TimeoutError:
            return LinkLost(1006, f"no Init within {_INIT_TIMEOUT:.0f} s")
        except LinkLost as lost:
            return lost
        finally:
            with contextlib.suppress(LinkLost):
                await link.close(1000, "envoy.reconnect")

    async def _read_until_init(self, link: EnvoyLink) -> None:
        while not self._initialized:
            self._take(link, await link.receive())

    async def _read(self, link: EnvoyLink) -> NoReturn:
        while True:
            self._take(link, await link.receive())

    def _take(self, link: EnvoyLink, message: ToEnvoy) -> None:
        match message:
            case Ping(ts=ts):
                link.send(Pong(ts))
                self._on_ping()
            case ToEnvoyTunnel():
                self._owner.on_tunnel(message)
            case KvResponse() | SqlExecResponse() | SqlExecuteResponse() | SqlExecuteBatchResponse():
                self.requests.answered(message)
            case Commands(entries=entries):
                self._on_commands(entries)
            case AckEvents(last_event_checkpoints=checkpoints):
                self.events.acknowledge(checkpoints)
            case EnvoyInit():
                self._on_init(message)

    def _on_init(self, init: EnvoyInit) -> None:
        self._initialized = True
        self._connected.set()
        self._connected_at = self.last_contact = self._clock.monotonic()
        self.failure = None
        self.lease.duration = init.envoy_lost_threshold / 1000
        self.lease.renew()
        self._owner.on_init(init)
        if self._draining:
            self._send(Stopping())
        self._send_optional(self.events.unacknowledged())
        self.requests.on_connected()
        while self._held:
            self._send(self._held.popleft())
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(init)

    def _on_ping(self) -> None:
        self.last_contact = self._clock.monotonic()
        if self._initialized:
            self.lease.renew()
        self.events.on_ping()
        self._commands.on_ping()

    def _on_commands(self, entries: tuple[CommandEntry, ...]) -> None:
        for entry in entries:
            if self._commands.accept(entry.checkpoint):
                self._hand_over(entry)
        if self._ack_timer is None:
            self._ack_timer = self._clock.call_later(_ACK_INTERVAL, self._acknowledge)

    def _hand_over(self, entry: CommandEntry) -> None:
        try:
            self._owner.on_command(entry)
        except Exception:  # one actor must not end the connection that all of them live by
            log.exception("a command could not be obeyed", extra={"actor_id": entry.checkpoint.actor_id})

    def _acknowledge(self) -> None:
        self._ack_timer = None
        if self._initialized:
            self._send_optional(self._commands.acknowledgement())

    # --- sending --------------------------------------------------------------------------------

    def _send(self, message: ToRivet) -> bool:
        if self._link is None or not self._initialized:
            return False
        try:
            self._link.send(message)
        except ProtocolError as failure:
            log.error("a message cannot be written: %s", failure.reason)
        return True

    def _send_optional(self, message: ToRivet | None) -> None:
        if message is not None:
            self._send(message)

    def _schedule_flush(self) -> None:
        if not self._flush_scheduled:
            self._flush_scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_scheduled = False
        if self._initialized:  # otherwise the next connection begins with all of them
            self._send_optional(self.events.fresh())

    # --- losing the connection ------------------------------------------------------------------

    def _forget_link(self) -> None:
        self._link = None
        if not self._initialized:
            return
        self._initialized = False
        self._connected.clear()
        self.events.on_link_lost()
        self._commands.on_link_lost()
        self.requests.on_link_lost()

    def _give_up(self, verdict: Verdict) -> bool:
        """Whether a refusal is the end: what was once accepted may only be unavailable for a while."""
        failure = verdict.failure
        if self._ready is not None and self._ready.done() and not verdict.is_eviction:
            log.error("%s; trying again", failure.message)
            return False
        self._fail(failure)
        return True

    def _fail(self, failure: RivetError) -> None:
        self.failure = failure
        self.lease.end()
        self._owner.on_lost()
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(failure)
            self._ready.exception()  # ``open`` may have been given up already
        else:
            log.error("%s", failure)

    async def _wait_before_retry(self, lost: LinkLost) -> None:
        stable = self._clock.monotonic() - self._connected_at >= _STABLE_AFTER
        self._failures = 0 if stable and self._connected_at else self._failures + 1
        self._connected_at = 0.0
        # Several attempts fit into a lease: an engine that is back must find us with our actors.
        most = self.lease.duration / _RETRIES_PER_LEASE
        longest = min(_FIRST_RETRY * 2 ** min(max(self._failures - 1, 0), 10), most)
        delay = jitter(self._entropy, longest / 2, longest)
        log.warning("connection to the engine lost %s, trying again in %.2f s", lost, delay)
        await self._clock.sleep(delay)

    def _lease_expired(self) -> None:
        log.error(
            "out of touch with the engine for %.1f s: it may run our actors elsewhere, so they end here",
            self.lease.duration,
        )
        self._owner.on_lost()
        if self._link is not None:  # the engine may have forgotten us, and must not get what is still unsent
            self._link.abort()
