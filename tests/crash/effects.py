"""What a program with every kind of effect let its parent know, and whether its next start keeps to it.

    Line     one effect: what happened, and a number that is used once for it
    Found    what the stores of a restarted program hold
    Judge    compares the two

The order of the lines is the order of the effects, also across kills: a pipe keeps what was written to it.
Knows nothing of processes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from pydantic import BaseModel

from tests.crash.promises import Broken

KINDS = frozenset(
    (
        *("kept", "put"),
        *("sent", "got", "done", "posted", "taken"),
        *("planned", "rang", "insisted", "insistent", "tick"),
    )
)


class Kept(BaseModel):
    """What the stores of a strict actor hold, which writes to all at once. Rows are written in pairs."""

    state: int
    keys: list[int]
    rows: list[tuple[int, int]]
    messages: list[int]
    planned: int


class Found(BaseModel):
    """What the stores of an actor hold that is not strict.

    Attributes:
        puts: Numbers of keys that were written alone.
        jobs: Bodies of messages that stay until they are completed.
        notes: Bodies of messages that are deleted when they are received.
        plans: Numbers of pending one-shots.
    """

    puts: list[int]
    jobs: list[int]
    notes: list[int]
    plans: list[int]


@dataclass
class Judge:
    """Everything known so far.

    Attributes:
        lost_notes: Messages that were deleted for a receiver that died before it got them.
        lost_plans: One-shots that were claimed by a process that died before it ran them.
    """

    seen: dict[str, set[int]] = field(default_factory=lambda: {kind: set[int]() for kind in KINDS})
    counts: Counter[str] = field(default_factory=Counter[str])
    due: dict[int, int] = field(default_factory=dict[int, int])
    lost_notes: set[int] = field(default_factory=set[int])
    lost_plans: set[int] = field(default_factory=set[int])

    def hear(self, line: str) -> None:
        """Record an effect.

        Raises:
            Broken: It must not happen, or not again.
        """
        kind, number, *more = line.split()
        if kind == "found":
            self._agree(Kept.model_validate_json(line.removeprefix(kind)))
            return
        value = int(number)
        if kind in {"rang", "taken", "tick"} and value in self.seen[kind]:
            raise Broken(f"{kind} {value} happened twice")
        if kind in {"got", "done"} and value in self.seen["done"]:
            raise Broken(f"message {value} was delivered after it was completed")
        if kind == "planned":
            self.due[value] = int(more[0])
        self.seen[kind].add(value)
        self.counts[kind] += 1

    def compare(self, found: Found, *, killed_at_ms: int) -> None:
        """Look at a restarted program.

        Args:
            killed_at_ms: When the one before was killed: it may have claimed what was due by then.

        Raises:
            Broken: An acknowledged effect is missing, or one that must be gone is there.
        """
        self._none_missing("key", self.seen["put"], set(found.puts))
        self._jobs(found)
        back = set(found.jobs) & self.seen["done"] | set(found.notes) & self.seen["taken"]
        if back:
            raise Broken(f"messages {sorted(back)} are stored after they were delivered for good")
        self._notes(found)
        self._plans(found, killed_at_ms)

    def _agree(self, kept: Kept) -> None:
        if kept.state < max(self.seen["kept"], default=0):
            raise Broken(f"an answered call was lost: the state is {kept.state}")
        numbers = list(range(1, kept.state + 1))
        for what, agrees in (
            ("keys", kept.keys == numbers),
            ("rows", kept.rows == [(number, 2) for number in numbers]),
            ("messages", kept.messages == numbers),
            ("schedules", kept.planned == kept.state),
        ):
            if not agrees:
                raise Broken(f"{what} and state are of different moments")

    def _none_missing(self, what: str, promised: set[int], there: set[int]) -> None:
        if missing := promised - there:
            raise Broken(f"{what} {sorted(missing)} is missing")

    def _jobs(self, found: Found) -> None:
        missing = self.seen["sent"] - self.seen["done"] - set(found.jobs)
        completing = missing & self.seen["got"]  # deleted, and the receiver died before it could say so
        self._none_missing("message", missing - completing, set())
        if len(completing) > 1:
            raise Broken(f"messages {sorted(completing)} are gone, and at most one was being completed")
        self.seen["done"] |= completing

    def _notes(self, found: Found) -> None:
        missing = self.seen["posted"] - self.seen["taken"] - self.lost_notes - set(found.notes)
        if len(missing) > 1:  # one receiver, which asks for one message at a time
            raise Broken(f"messages {sorted(missing)} are missing, and at most one was being received")
        self.lost_notes |= missing

    def _plans(self, found: Found, killed_at_ms: int) -> None:
        again = set(found.plans) & self.seen["rang"]
        if again:
            raise Broken(f"one-shots {sorted(again)} are stored after they ran")
        missing = self.seen["planned"] - self.seen["rang"] - self.lost_plans - set(found.plans)
        early = {number for number in missing if self.due[number] > killed_at_ms}
        if early:
            raise Broken(f"one-shots {sorted(early)} are gone before they were due")
        self.lost_plans |= missing

    def finish(self, found: Found) -> None:
        """Nothing was killed any more, and everything had time to happen.

        Raises:
            Broken: Something did not.
        """
        if found.jobs or found.notes or found.plans:
            raise Broken(f"left undone: {found.jobs} {found.notes} {found.plans}")
        self._none_missing("insistent one-shot", self.seen["insisted"], self.seen["insistent"])

    def report(self) -> dict[str, int]:
        """How often each effect happened, and what a kill was allowed to take."""
        return {
            **{kind: self.counts[kind] for kind in sorted(KINDS)},
            "lost_notes": len(self.lost_notes),
            "lost_plans": len(self.lost_plans),
        }
