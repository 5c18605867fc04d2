"""What a client was told once and every handle of it needs."""

from __future__ import annotations

from dataclasses import dataclass

from rivetkit_core.clock import Clock
from rivetkit_core.entropy import Entropy

DEFAULT_TIMEOUT = 65.0
"""A little more than the server's own limit of 60 s, so that its answer, not ours, is the usual one."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Time, randomness and the default bound of a call in seconds."""

    clock: Clock
    entropy: Entropy
    timeout: float = DEFAULT_TIMEOUT
