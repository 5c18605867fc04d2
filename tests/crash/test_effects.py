"""The judge of effects: what it lets pass and what it finds."""

from __future__ import annotations

import pytest

from tests.crash.effects import Found, Judge, Kept
from tests.crash.promises import Broken

NOTHING = Found(puts=[], jobs=[], notes=[], plans=[])


def heard(*lines: str) -> Judge:
    judge = Judge()
    for line in lines:
        judge.hear(line)
    return judge


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        pytest.param(["rang 1", "rang 1"], "rang 1 happened twice", id="one-shot-twice"),
        pytest.param(["taken 1", "taken 1"], "taken 1 happened twice", id="at-most-once-twice"),
        pytest.param(["tick 5", "tick 5"], "tick 5 happened twice", id="tick-twice"),
        pytest.param(["got 1", "done 1", "got 1"], "after it was completed", id="completed-redelivered"),
    ],
)
def test_what_must_not_happen_again_is_noticed(lines: list[str], why: str) -> None:
    with pytest.raises(Broken, match=why):
        heard(*lines)


def test_a_message_that_was_not_completed_may_come_again() -> None:
    assert heard("sent 1", "got 1", "got 1", "done 1").counts["got"] == 2


@pytest.mark.parametrize(
    ("lines", "found", "why"),
    [
        pytest.param(["put 1"], {}, r"key \[1\] is missing", id="key"),
        pytest.param(["sent 1"], {}, r"message \[1\] is missing", id="message"),
        pytest.param(["sent 1", "done 1"], {"jobs": [1]}, "delivered for good", id="completed-stored"),
        pytest.param(["posted 1", "taken 1"], {"notes": [1]}, "delivered for good", id="taken-stored"),
        pytest.param(["posted 1", "posted 2"], {}, "at most one was being received", id="notes"),
        pytest.param(["planned 1 2000"], {}, "before they were due", id="one-shot"),
        pytest.param(["planned 1 500", "rang 1"], {"plans": [1]}, "after they ran", id="fired-stored"),
    ],
)
def test_what_a_restart_must_not_find_is_noticed(
    lines: list[str], found: dict[str, object], why: str
) -> None:
    with pytest.raises(Broken, match=why):
        heard(*lines).compare(NOTHING.model_copy(update=found), killed_at_ms=1000)


WHOLE = Kept(state=1, keys=[1], rows=[(1, 2)], messages=[1], planned=1)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        pytest.param({"state": 0}, "answered call was lost", id="state"),
        pytest.param({"keys": []}, "keys and state", id="keys"),
        pytest.param({"rows": [(1, 1)]}, "rows and state", id="half-a-transaction"),
        pytest.param({"messages": [1, 2]}, "messages and state", id="messages"),
        pytest.param({"planned": 0}, "schedules and state", id="schedules"),
    ],
)
def test_strict_stores_that_disagree_are_noticed(changed: dict[str, object], why: str) -> None:
    judge = heard("kept 1", f"found {WHOLE.model_dump_json()}")
    with pytest.raises(Broken, match=why):
        judge.hear(f"found {WHOLE.model_copy(update=changed).model_dump_json()}")


def test_what_was_under_way_at_the_kill_may_be_gone() -> None:
    judge = heard("sent 1", "got 1", "posted 2", "planned 3 900")
    judge.compare(NOTHING, killed_at_ms=1000)
    assert (judge.lost_notes, judge.lost_plans) == ({2}, {3})
    with pytest.raises(Broken, match="after it was completed"):
        judge.hear("got 1")


def test_in_the_end_nothing_is_left_and_nothing_insistent_was_given_up() -> None:
    with pytest.raises(Broken, match="left undone"):
        heard().finish(NOTHING.model_copy(update={"jobs": [1]}))
    with pytest.raises(Broken, match="insistent"):
        heard("insisted 1").finish(NOTHING)
