"""Which failures are worth another attempt, and how long to wait before it (client-protocol 4.7, 6.4, 7.2).

An error is retryable when it says that nothing ran and that things are about to change: the actor is
starting or moving, the gateway could not reach it, or there was no connection in the first place.
"""

from __future__ import annotations

from rivetkit_core.entropy import Entropy, jitter
from rivetkit_core.errors import RivetError

_LIFECYCLE = frozenset(
    {
        "actor.starting",
        "actor.stopping",
        "actor.stopped",
        "actor.restarting",
        "actor.not_ready",
        "actor.destroying",
        "actor.destroyed_while_waiting_for_ready",
        "actor.destroyed_during_creation",
        "ws.going_away",
        "guard.service_unavailable",
        "guard.shutting_down",
        "guard.actor_wake_retries_exceeded",
        "guard.actor_stopped_while_waiting",
        "guard.tunnel_request_aborted",
        "guard.tunnel_message_timeout",
        "guard.tunnel_response_closed",
        "guard.gateway_response_start_timeout",
    }
)
_RECONNECT = _LIFECYCLE | {
    "actor.overloaded",
    "client.request_failed",
    "client.connection_lost",
    "client.params_failed",
    "guard.actor_ready_timeout",
    "guard.request_timeout",
    "guard.websocket_closed_before_open",
}


def may_call_again(failure: RivetError) -> bool:
    """Whether a stateless call that failed like this did not run and may run soon."""
    return f"{failure.group}.{failure.code}" in _LIFECYCLE


def may_reconnect(failure: RivetError) -> bool:
    """Whether a connection that failed like this should be tried again."""
    return f"{failure.group}.{failure.code}" in _RECONNECT


def backoff(attempt: int, entropy: Entropy, *, first: float, longest: float) -> float:
    """Seconds before attempt ``attempt`` (0 is the first retry): doubling, with jitter of a quarter."""
    delay = min(first * 2.0 ** min(attempt, 30), longest)
    return delay * jitter(entropy, 0.75, 1.25)
