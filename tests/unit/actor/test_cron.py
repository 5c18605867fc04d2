"""When cron expressions come true, against an oracle that looks at every minute (actor-runtime 8.2)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rivetkit_core.actor.cron import check_expression, check_interval, check_timezone, next_match, next_tick
from rivetkit_core.errors import RivetError

ZONES = (
    "UTC",
    "America/Los_Angeles",
    "America/New_York",
    "America/St_Johns",
    "America/Sao_Paulo",
    "Europe/Berlin",
    "Europe/London",
    "Africa/Casablanca",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Sydney",
    "Australia/Lord_Howe",
    "Pacific/Auckland",
    "Pacific/Chatham",
    "Pacific/Apia",
    "America/Havana",
    "Asia/Tehran",
)
HORIZON = timedelta(days=4)


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def utc(timestamp: int) -> str:
    return datetime.fromtimestamp(timestamp / 1000, UTC).isoformat()


@pytest.mark.parametrize(
    ("expression", "timezone", "after", "expected"),
    [
        pytest.param(
            "30 2 * * *", "America/Los_Angeles", "2026-03-08T00:00Z", "2026-03-09T09:30Z", id="missing"
        ),
        pytest.param(
            "30 1 * * *", "America/Los_Angeles", "2026-11-01T00:00Z", "2026-11-01T08:30Z", id="repeated"
        ),
        pytest.param(
            "30 1 * * *", "America/Los_Angeles", "2026-11-01T08:30Z", "2026-11-02T09:30Z", id="only once"
        ),
        pytest.param("0 9 * * *", "Europe/Berlin", "2026-06-01T07:00Z", "2026-06-02T07:00Z", id="strictly"),
        pytest.param("0 0 29 2 *", "UTC", "2026-01-01T00:00Z", "2028-02-29T00:00Z", id="leap year"),
        pytest.param("0 0 * * MON", "UTC", "2026-01-01T00:00Z", "2026-01-05T00:00Z", id="by name"),
    ],
)
def test_known_moments(expression: str, timezone: str, after: str, expected: str) -> None:
    assert utc(next_match(expression, timezone, at(after))) == utc(at(expected))


@pytest.mark.parametrize(
    "expression",
    ["", "* * * *", "* * * * * *", "61 * * * *", "x * * * *", "0 0 30 2 *", "@daily", "*/0 * * * *"],
)
def test_what_is_no_expression_is_refused(expression: str) -> None:
    with pytest.raises(RivetError) as refused:
        check_expression(expression)
    assert refused.value.code == "invalid_cron_expression"


def test_an_expression_that_never_comes_true_is_refused() -> None:
    with pytest.raises(RivetError, match="never comes true"):
        next_match("0 0 */20 * 1L", "UTC", 0)


@pytest.mark.parametrize("name", ["", "Europe", "Mars/Olympus", "../UTC", "/etc/localtime", "Europe/\0"])
def test_an_unknown_time_zone_is_refused(name: str) -> None:
    with pytest.raises(RivetError) as refused:
        check_timezone(name)
    assert (refused.value.code, refused.value.metadata) == ("invalid_timezone", {"timezone": name})


def test_an_interval_below_five_seconds_is_refused() -> None:
    check_interval(5000)
    with pytest.raises(RivetError) as refused:
        check_interval(4999)
    assert refused.value.metadata == {"interval_ms": 4999, "minimum_ms": 5000}


@given(trigger=st.integers(0, 10**13), interval=st.integers(5000, 10**10), late=st.integers(0, 10**11))
def test_ticks_stay_on_their_grid(trigger: int, interval: int, late: int) -> None:
    now = trigger + late
    following = next_tick(trigger, interval, now)
    assert now < following <= now + interval
    assert (following - trigger) % interval == 0


def field(low: int, high: int) -> st.SearchStrategy[tuple[str, frozenset[int]]]:
    """A field of an expression, and the values it means."""
    every = st.just(("*", frozenset(range(low, high + 1))))
    step = st.sampled_from([2, 5, 7, 15]).map(lambda n: (f"*/{n}", frozenset(range(low, high + 1, n))))
    listed = st.lists(st.integers(low, high), min_size=1, max_size=3).map(
        lambda values: (",".join(map(str, values)), frozenset(values))
    )
    return every | step | listed


Field = tuple[str, frozenset[int]]


def oracle(minutes: Field, hours: Field, weekdays: Field, timezone: str, after: int) -> int | None:
    """The first minute whose wall time matches, unless that wall time was there before."""
    zone = ZoneInfo(timezone)
    start = datetime.fromtimestamp(after / 1000, UTC)
    moment = start.replace(second=0, microsecond=0) + timedelta(minutes=1)
    while moment <= start + HORIZON:
        wall = moment.astimezone(zone)
        fits = wall.minute in minutes[1] and wall.hour in hours[1] and wall.isoweekday() % 7 in weekdays[1]
        if fits and wall.fold == 0:
            return round(moment.timestamp() * 1000)
        moment += timedelta(minutes=1)
    return None


def transitions(zone: str, year: int) -> Sequence[int]:
    """Moments around which the offset changes."""
    moment, found = datetime(year, 1, 1, tzinfo=UTC), list[int]()
    while moment.year == year:
        following = moment + timedelta(days=1)
        if moment.astimezone(ZoneInfo(zone)).utcoffset() != following.astimezone(ZoneInfo(zone)).utcoffset():
            found.append(round(moment.timestamp() * 1000))
        moment = following
    return found or [round(datetime(year, 6, 1, tzinfo=UTC).timestamp() * 1000)]


@settings(max_examples=400, deadline=None)
@given(
    minutes=field(0, 59),
    hours=field(0, 23),
    weekdays=field(0, 6),
    timezone=st.sampled_from(ZONES),
    year=st.integers(1996, 2036),
    which=st.integers(0, 3),
    offset=st.integers(-2 * 86_400_000, 2 * 86_400_000),
)
@example(
    ("0", frozenset({0})), ("*", frozenset(range(24))), ("*", frozenset(range(7))), "Pacific/Apia", 2011, 1, 0
)
def test_the_next_moment_is_the_one_a_patient_observer_finds(
    minutes: Field, hours: Field, weekdays: Field, timezone: str, year: int, which: int, offset: int
) -> None:
    changes = transitions(timezone, year)
    after = changes[which % len(changes)] + offset
    expected = oracle(minutes, hours, weekdays, timezone, after)
    found = next_match(f"{minutes[0]} {hours[0]} * * {weekdays[0]}", timezone, after)
    horizon = after + HORIZON // timedelta(milliseconds=1)
    assert (found if found <= horizon else None) == expected
