"""The Entropy port: the only door to randomness, so that one seed reproduces one history."""

from __future__ import annotations

import random
import secrets
from typing import Protocol

_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
_UUID_FIXED = 0xF000_C000 << 48  # the version and variant bits (RFC 9562)
_UUID_VERSION_4 = 0x4000_8000 << 48
_ACTOR_ID_LENGTH = 30  # as the engine's; clients put ids raw into header tokens (client-protocol 1.9)


class Entropy(Protocol):
    """Port: where ids, tokens and jitter come from."""

    def bits(self, count: int) -> int:
        """``count`` random bits as a non-negative integer."""
        ...


class SystemEntropy:
    """The operating system's random source."""

    def bits(self, count: int) -> int:
        return secrets.randbits(count)


class SeededEntropy:
    """Reproducible: the same seed gives the same ids. For tests and simulations, never for tokens."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - reproducibility is the purpose

    def bits(self, count: int) -> int:
        return self._random.getrandbits(count)


def new_uuid(entropy: Entropy) -> str:
    """A UUIDv4 string, for connection and ray ids."""
    # Spelled out: uuid.UUID costs three times as much, and every call makes two of these.
    bits = entropy.bits(128) & ~_UUID_FIXED | _UUID_VERSION_4
    digits = f"{bits:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def new_actor_id(entropy: Entropy) -> str:
    """Thirty characters of ``[a-z0-9]``: valid anywhere a URL, a header token or a file name is."""
    value = entropy.bits(156)
    digits: list[str] = []
    for _ in range(_ACTOR_ID_LENGTH):
        value, digit = divmod(value, 36)
        digits.append(_BASE36[digit])
    return "".join(digits)


def jitter(entropy: Entropy, low: float, high: float) -> float:
    """A number between ``low`` and ``high``, for back-off."""
    return low + (high - low) * entropy.bits(53) / (1 << 53)
