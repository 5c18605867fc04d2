"""The secret that opens one actor's inner life: its metrics, and whatever else tools may look at.

Invariants
    An actor that was created has one, stored under its key since its creation; it stays what it is.
    It is compared in constant time and never written to a log.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

from rivetkit_core.actor.saver import Saver
from rivetkit_core.entropy import Entropy

INSPECTOR_TOKEN_KEY = b"\x03"
_BYTES = 32


@dataclass(frozen=True, slots=True)
class InspectorOptions:
    """What the host says about the tokens of its actors.

    Attributes:
        enabled: Without, no actor has a token, and nothing opens for one.
        token: For tests: the only token that opens any actor; none is made then.
        metrics_token: Opens the metrics of every actor besides its own token.
    """

    enabled: bool = True
    token: str | None = field(default=None, repr=False)
    metrics_token: str | None = field(default=None, repr=False)


class InspectorToken:
    """The token of one actor."""

    def __init__(self, options: InspectorOptions, *, entropy: Entropy, saver: Saver) -> None:
        self._options = options
        self._entropy = entropy
        self._saver = saver
        self._stored: str | None = None

    def adopt(self, found: Mapping[bytes, bytes]) -> None:
        """Take the token that storage holds, if it does."""
        stored = found.get(INSPECTOR_TOKEN_KEY)
        self._stored = None if stored is None else stored.decode("utf-8", "replace")

    def ensure(self) -> None:
        """Make a token if there is none; it is stored with the next save of the state."""
        if self._stored is not None or not self._options.enabled or self._options.token is not None:
            return
        secret = self._entropy.bits(_BYTES * 8).to_bytes(_BYTES, "big")
        self._stored = base64.urlsafe_b64encode(secret).rstrip(b"=").decode()
        self._saver.pending.add({INSPECTOR_TOKEN_KEY: self._stored.encode()})

    def opens(self, candidate: str | None) -> bool:
        """Whether this is the token."""
        return self._options.enabled and _same(candidate, self._options.token or self._stored)

    def opens_metrics(self, candidate: str | None) -> bool:
        """Whether this token opens the actor's metrics."""
        return _same(candidate, self._options.metrics_token) or self.opens(candidate)


def _same(candidate: str | None, expected: str | None) -> bool:
    if not candidate or not expected:
        return False
    return hmac.compare_digest(candidate.encode(), expected.encode())
