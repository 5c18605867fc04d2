"""What a queue can opt in to beyond the plain guarantees: retries and deduplication."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, cast

from typing_extensions import TypeVar

from rivetkit._amounts import is_seconds

B = TypeVar("B")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Try a message again after a failure, with growing delays.

    Attributes:
        attempts: How often it is received in all.
        delay: Seconds before the second attempt; doubled before each further one.
        max_delay: The longest of these delays.
    """

    attempts: int = 5
    delay: float = 1.0
    max_delay: float = 300.0

    def __post_init__(self) -> None:
        whole = isinstance(cast("object", self.attempts), int) and self.attempts >= 1
        timed = is_seconds(self.delay) and is_seconds(self.max_delay)
        if not whole or not timed or self.max_delay < self.delay:
            raise ValueError(f"{self}: attempts is at least 1, delay at least 0, max_delay at least delay")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deduplicate(Generic[B]):
    """Store only the first of several messages with the same key.

    Attributes:
        by: Makes the key of a message.
        window: Seconds during which a key is remembered, whatever became of the message.
    """

    by: Callable[[B], str]
    window: float = 3600.0

    def __post_init__(self) -> None:
        if not callable(self.by):
            raise ValueError(
                f"by makes the key of a message, as in Deduplicate(by=lambda order: order.id), and is no "
                f"{type(self.by).__name__}"
            )
        if not is_seconds(self.window) or not self.window:
            raise ValueError(f"the window of a deduplication is above 0 seconds, not {self.window!r}")
