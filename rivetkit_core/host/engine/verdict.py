"""What the end of a connection means: try again, or tell the operator what to change (envoy-protocol 3.6)."""

from __future__ import annotations

from dataclasses import dataclass

from rivetkit_core.errors import RivetError, error
from rivetkit_core.host.engine.link import LinkLost

_REFUSALS = {
    "ws.invalid_request": "it does not understand the connection's parameters. Check RIVET_NAMESPACE, "
    "RIVET_POOL and RIVET_ENVOY_VERSION, and that the engine is a release this library supports",
    "namespace.not_found": "the namespace does not exist. Create it, or set RIVET_NAMESPACE to one that does",
    "guard.missing_header": "it asks for a token. Set RIVET_TOKEN",
    "api.forbidden": "the token is not the right one. Check RIVET_TOKEN",
    "ws.no_runner_config": "the pool has no runner configuration. Create one, or check RIVET_POOL",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """``is_final``: another attempt would end in the same way."""

    failure: RivetError
    is_final: bool = False
    is_eviction: bool = False


def judge(lost: LinkLost, endpoint: str) -> Verdict:
    """Tell a refusal from an interruption by the close reason, whose ray id is of no interest."""
    reason = lost.reason.partition("#")[0]
    if reason == "ws.eviction":
        return Verdict(error("engine.evicted"), is_final=True, is_eviction=True)
    refusal = _REFUSALS.get(reason)
    if refusal is not None:
        failure = error("engine.refused", endpoint=endpoint, reason=f"{refusal} ({reason})")
        return Verdict(failure, is_final=True)
    return Verdict(error("engine.unreachable", endpoint=endpoint, reason=str(lost)))
