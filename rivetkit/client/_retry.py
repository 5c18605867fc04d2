"""Which failures pass by themselves, and how long to wait before the next attempt.

A call is repeated only when the answer proves that no action ran: the actor was between two lives. What
leaves that open (a lost connection, a dropped reply) is the caller's to repeat.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from rivetkit_core.clock import Clock
from rivetkit_core.entropy import Entropy, jitter
from rivetkit_core.errors import RivetError
from rivetkit_core.host.port import ByKey, Target

T = TypeVar("T")

CALL_BUDGET = 10.0
"""Seconds during which a call is repeated while its actor starts or stops."""

_FIRST_CALL_DELAY, _LONGEST_CALL_DELAY = 0.025, 1.0

_BETWEEN_LIVES = frozenset(
    {
        "actor.starting", "actor.stopping", "actor.stopped", "actor.not_ready", "actor.not_configured",
        "actor.restarting", "actor.destroying", "guard.service_unavailable",
        "guard.actor_wake_retries_exceeded", "guard.actor_stopped_while_waiting",
        "envoy.actor_generation_mismatch",
    }
)  # fmt: skip
_LINK_TROUBLE = frozenset(
    {
        "actor.aborted", "actor.callback_timed_out", "actor.dropped_reply", "actor.overloaded",
        "client.connection_lost", "client.get_params_failed", "client.request_failed", "client.timed_out",
        "guard.actor_ready_timeout", "guard.gateway_response_start_timeout", "guard.rate_limit",
        "guard.request_timeout", "guard.retry_attempts_exceeded", "guard.tunnel_message_timeout",
        "guard.tunnel_request_aborted", "guard.tunnel_response_closed", "guard.upstream_error",
        "guard.websocket_closed_before_open", "guard.websocket_open_timeout", "ws.going_away",
    }
)  # fmt: skip
_REFUSALS = frozenset(
    {"api.unauthorized", "auth.forbidden", "actor.validation_error", "protocol.malformed", "request.invalid"}
)


class Backoff:
    """Delays that double from ``first`` to ``longest``, each varied by half so that clients spread out."""

    def __init__(self, entropy: Entropy, *, first: float, longest: float) -> None:
        self._entropy = entropy
        self._first = first
        self._longest = longest
        self._next = first

    def delay(self) -> float:
        """Seconds to wait now; the next call answers twice as much."""
        mean, self._next = self._next, min(self._next * 2, self._longest)
        return jitter(self._entropy, mean / 2, mean * 1.5)

    def reset(self) -> None:
        self._next = self._first


def nothing_ran(failure: RivetError, target: Target) -> bool:
    """Whether the call can be repeated without running an action twice."""
    identity = _identity(failure)
    destroyed = identity.startswith("actor.destroyed_")  # by the time of the next attempt it is gone, or anew
    return destroyed or identity in _BETWEEN_LIVES or _missing(identity, target)


def ends_opening(failure: RivetError, target: Target) -> bool:
    """Whether a connection that could not be opened never will be."""
    return not nothing_ran(failure, target) and _identity(failure) not in _LINK_TROUBLE


def ends_connection(failure: RivetError, target: Target) -> bool:
    """Whether an open connection that was closed with this reason must not be opened again."""
    identity = _identity(failure)
    gone = identity == "actor.not_found" and not _missing(identity, target)
    return failure.group == "user" or gone or identity in _REFUSALS


async def repeat_between_lives(
    attempt: Callable[[], Awaitable[T]], target: Target, *, clock: Clock, entropy: Entropy
) -> T:
    """Run ``attempt`` again while its actor is between two lives, for ``CALL_BUDGET`` seconds."""
    backoff = Backoff(entropy, first=_FIRST_CALL_DELAY, longest=_LONGEST_CALL_DELAY)
    give_up = clock.monotonic() + CALL_BUDGET
    while True:
        try:
            return await attempt()
        except RivetError as failure:
            delay = backoff.delay()
            if not nothing_ran(failure, target) or clock.monotonic() + delay > give_up:
                raise
        await clock.sleep(delay)


def _identity(failure: RivetError) -> str:
    return f"{failure.group}.{failure.code}"


def _missing(identity: str, target: Target) -> bool:
    """A key that creates its actor can only miss it in the moment between two of them."""
    return identity == "actor.not_found" and isinstance(target, ByKey) and target.create
