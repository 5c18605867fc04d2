"""Who may read metrics: of one actor, and of the process (actor-runtime 13.2)."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

_WHITESPACE = " \t\r\n\f\v"


@dataclass(frozen=True, slots=True)
class MetricsDoor:
    """Whether the numbers of the process are served, and the token that opens them.

    Read from ``RIVETKIT_METRICS_ENABLED`` and ``RIVETKIT_METRICS_TOKEN``: without both of them nothing is.
    """

    token: str | None = field(default=None, repr=False)

    @property
    def enabled(self) -> bool:
        return self.token is not None

    def opens(self, candidate: str | None) -> bool:
        """Whether this is the token; compared in constant time."""
        if not self.token or not candidate:
            return False
        return hmac.compare_digest(candidate.encode(), self.token.encode())


def read_door(environ: Mapping[str, str]) -> MetricsDoor:
    """The door as the environment sets it."""
    enabled = environ.get("RIVETKIT_METRICS_ENABLED") == "1"
    return MetricsDoor(environ.get("RIVETKIT_METRICS_TOKEN") or None if enabled else None)


def bearer(header: bytes | None) -> str | None:
    """The token of an ``Authorization`` header; None if it is no bearer token or an empty one."""
    text = (header or b"").decode("utf-8", "replace").lstrip(_WHITESPACE)
    scheme, rest = text[:6], text[6:]
    if scheme.lower() != "bearer" or rest[:1] not in tuple(_WHITESPACE):
        return None
    return rest.strip(_WHITESPACE) or None


def answer(door: MetricsDoor, header: bytes | None) -> tuple[int, bytes] | None:
    """Status and text for whoever may not read the numbers of the process; None for who may."""
    if not door.enabled:
        return 403, b"metrics not enabled"
    if not door.opens(bearer(header)):
        return 401, b"metrics request requires a valid bearer token"
    return None
