"""What one actor promised, in all of its lives, and what is not known of what was under way when one ended.

Knows nothing of storage; ``statements`` compares the two, and ``Promises.settle`` takes over what was found.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tests.model.snapshot import Snapshot


class Broken(AssertionError):
    """A promise was not kept."""


@dataclass
class Promises:
    """One actor, from its creation to its destruction. Times are virtual seconds, due times milliseconds.

    Attributes:
        history: Every number the state holds or held in this generation, in order.
        changed_at: When each number of this generation came into the state.
        covered: Numbers that a returned save, or a strict answer, said are stored.
        attempted: Numbers of all messages anybody tried to send.
        sent: Messages that are stored for sure: their number by id.
        numbers: The number each id ever stood for.
        taken: Ids handed over after deletion; ``completed`` likewise.
        completing: Ids whose completion was begun and not seen to return.
        receiving: How many messages may have been deleted for receivers that never got them.
        planned: When each acknowledged one-shot is due.
        withdrawn: Ids whose cancellation was begun; it is final once ``cancelled``.
        rang: How often each one-shot ran, and each tick of a recurring schedule.
        keys: The last acknowledged value of each key, and ``tried`` the last one that was attempted.
    """

    history: list[int] = field(default_factory=list[int])
    changed_at: dict[int, float] = field(default_factory=dict[int, float])
    covered: set[int] = field(default_factory=set[int])
    attempted: set[int] = field(default_factory=set[int])
    sent: dict[int, int] = field(default_factory=dict[int, int])
    numbers: dict[int, int] = field(default_factory=dict[int, int])
    taken: set[int] = field(default_factory=set[int])
    completed: set[int] = field(default_factory=set[int])
    completing: set[int] = field(default_factory=set[int])
    receiving: int = 0
    planned: dict[str, int] = field(default_factory=dict[str, int])
    withdrawn: set[str] = field(default_factory=set[str])
    cancelled: set[str] = field(default_factory=set[str])
    rang: Counter[str] = field(default_factory=Counter[str])
    keys: dict[bytes, int] = field(default_factory=dict[bytes, int])
    tried: dict[bytes, int] = field(default_factory=dict[bytes, int])

    def stood_for(self, message_id: int, number: int) -> None:
        """Record which message an id means.

        Raises:
            Broken: It meant another one.
        """
        if self.numbers.setdefault(message_id, number) != number:
            raise Broken(f"message id {message_id} was used twice")

    def received(self, message_id: int, number: int) -> None:
        """A receiver got a message.

        Raises:
            Broken: It was handed over for good, or completed, before; or nobody sent it.
        """
        self.stood_for(message_id, number)
        if message_id in self.taken | self.completed:
            raise Broken(f"message {message_id} was delivered again")
        if number not in self.attempted:
            raise Broken(f"nobody sent message {message_id}")

    @property
    def gone(self) -> set[int]:
        """Messages that need not be stored any more."""
        return self.taken | self.completed | self.completing

    @property
    def pending(self) -> dict[str, int]:
        """Acknowledged one-shots that have not run and that nobody wanted to cancel."""
        return {
            one: due for one, due in self.planned.items() if not self.rang[one] and one not in self.withdrawn
        }

    def settle(self, found: Snapshot) -> None:
        """A generation has ended: from now on what is stored is what there is."""
        self.history = list(found.log)
        self.changed_at.clear()
        self.covered = set(found.log)
        for message_id, number in found.messages.items():
            self.stood_for(message_id, number)
        self.sent = dict(found.messages)
        self.completed |= self.completing - found.messages.keys()
        self.completing.clear()
        self.receiving = 0
        for one in self.withdrawn - found.events.keys():
            self.cancelled.add(one)
        self.withdrawn = set(self.cancelled)
        lost = [one for one in self.pending if one not in found.events]
        for one in lost:
            del self.planned[one]
        self.keys = {key: value for key, value in found.keys.items() if key in self.tried}


def is_retried(one_shot: str) -> bool:
    """Whether it is tried again until it succeeds, as its id says."""
    return one_shot.startswith("retry:")
