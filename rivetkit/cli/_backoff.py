"""How long to wait before a worker is started again."""

from __future__ import annotations

FIRST_DELAY = 0.5
LAST_DELAY = 30.0
STABLE_AFTER = 60.0


class Backoff:
    """Doubles from half a second to thirty; begins anew after a life of a minute.

    Attributes:
        failures: How many lives in a row were shorter than that.
    """

    def __init__(self) -> None:
        self.failures = 0

    def after(self, lived: float) -> float:
        """Seconds to wait after a life of ``lived`` seconds."""
        self.failures = 1 if lived >= STABLE_AFTER else self.failures + 1
        return min(FIRST_DELAY * 2 ** min(self.failures - 1, 16), LAST_DELAY)
