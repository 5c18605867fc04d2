"""The judges of the kill test notice every kind of broken promise."""

from __future__ import annotations

import pytest

from tests.crash.promises import Broken, Census, Entry, Ledger, Placement

A1: Entry = ("a", 1)
A2: Entry = ("a", 2)
B1: Entry = ("b", 1)


def ledger(*, strict: bool = True) -> Ledger:
    """One that three calls were sent to; the first was acknowledged at 10.0, the second at 11.0."""
    made = Ledger("ledger", strict=strict)
    for entry in (A1, A2, B1):
        made.sending(entry)
    made.know(A1, 1, 10.0)
    made.know(A2, 2, 11.0)
    return made


@pytest.mark.parametrize(
    "found",
    [
        pytest.param([A1, A2], id="what-was-acknowledged"),
        pytest.param([A1, A2, B1], id="also-what-was-only-sent"),
    ],
)
def test_a_strict_actor_may_hold(found: list[Entry]) -> None:
    assert ledger().verify(found, lossless_until=0.0) == []


@pytest.mark.parametrize(
    ("found", "why"),
    [
        pytest.param([A1], "missing", id="lost"),
        pytest.param([], "missing", id="empty"),
        pytest.param([A1, B1], "2 holds", id="replaced"),
        pytest.param([A1, A2, A2], "2 follows 2", id="duplicate"),
        pytest.param([A2, A1], "2 follows 0", id="reordered"),
        pytest.param([A1, A2, ("a", 3)], "never sent 3", id="never-sent"),
        pytest.param([A1, A2, ("c", 1)], "never sent 1", id="unknown-client"),
    ],
)
def test_a_strict_actor_may_not_hold(found: list[Entry], why: str) -> None:
    with pytest.raises(Broken, match=why):
        ledger().verify(found, lossless_until=0.0)


def test_a_throttled_actor_may_lose_what_is_recent() -> None:
    assert ledger(strict=False).verify([A1], lossless_until=10.5) == [11.0]


def test_a_throttled_actor_may_not_lose_what_is_old() -> None:
    with pytest.raises(Broken, match=r"missing, 0\.500 s too old"):
        ledger(strict=False).verify([], lossless_until=10.5)


def test_a_throttled_actor_may_not_lose_from_the_middle() -> None:
    with pytest.raises(Broken, match="1 holds"):
        ledger(strict=False).verify([B1], lossless_until=12.0)


def test_what_was_lost_may_come_again_under_its_position() -> None:
    judge = ledger(strict=False)
    judge.verify([A1], lossless_until=10.5)
    judge.know(B1, 2, 20.0)
    assert judge.verify([A1, B1], lossless_until=0.0) == []


def test_what_a_restart_showed_stays() -> None:
    judge = ledger(strict=False)
    judge.verify([A1, A2], lossless_until=0.0)
    with pytest.raises(Broken, match="have changed"):
        judge.verify([A1], lossless_until=99.0)


def test_one_position_has_one_entry() -> None:
    with pytest.raises(Broken, match="position 2 was given"):
        ledger().know(B1, 2, 12.0)


def test_a_stored_position_is_not_given_again() -> None:
    judge = ledger()
    judge.verify([A1, A2], lossless_until=0.0)
    with pytest.raises(Broken, match="taken before the start"):
        judge.know(B1, 2, 12.0)


def test_a_generation_grows() -> None:
    judge = ledger()
    judge.restart(3)
    with pytest.raises(Broken, match="generation 3 follows 3"):
        judge.restart(3)


def census() -> Census:
    return Census(
        attempted={"kept", "gone", "unsure"},
        created={"1": "kept", "2": "gone"},
        destroying={"2"},
        destroyed={"2"},
    )


KEPT, GONE = Placement("kept", False), Placement("gone", True)


@pytest.mark.parametrize(
    "listed",
    [
        pytest.param({"1": KEPT, "2": GONE}, id="as-acknowledged"),
        pytest.param({"1": KEPT, "2": GONE, "3": Placement("unsure", False)}, id="created-unacknowledged"),
        pytest.param({"1": KEPT, "2": GONE, "3": Placement("gone", False)}, id="key-used-again"),
    ],
)
def test_a_census_accepts(listed: dict[str, Placement]) -> None:
    census().verify(listed)


@pytest.mark.parametrize(
    ("listed", "why"),
    [
        pytest.param({"2": GONE}, "is not there", id="missing"),
        pytest.param({"1": KEPT, "2": Placement("gone", False)}, "is back", id="back"),
        pytest.param({"1": Placement("kept", True), "2": GONE}, "asked to destroy", id="gone-unasked"),
        pytest.param({"1": KEPT, "2": GONE, "3": Placement("new", False)}, "asked for", id="unasked"),
        pytest.param({"1": KEPT, "2": GONE, "3": KEPT}, "two actors live", id="same-key"),
    ],
)
def test_a_census_refuses(listed: dict[str, Placement], why: str) -> None:
    with pytest.raises(Broken, match=why):
        census().verify(listed)
