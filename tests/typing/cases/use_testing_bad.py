"""Tests of users, negative cases: every line marked ``# E`` must be reported, and no other line."""

from __future__ import annotations

from queue_app import Shop

from rivetkit.testing import RivetTest


async def bad_time(rivet: RivetTest) -> None:
    await rivet.clock.advance("30d")  # E: text is no time
    await rivet.clock.advance(weeks=1)  # E: there is no such unit
    await rivet.clock.advance_to(30.0)  # E: a moment is a datetime
    now: float = rivet.clock.now()  # E: the time is a datetime
    print(now)


async def bad_lives(rivet: RivetTest) -> None:
    await rivet.sleep("a")  # E: a key is not a handle
    await rivet.crash(Shop)  # E: a class is not a handle
    await rivet.restart("app:registry")  # E: a registry, or classes


def bad_worlds() -> None:
    RivetTest("app:registry")  # E: a registry, or classes
    RivetTest(Shop, seed="7")  # E: a seed is a number
    RivetTest(Shop, start=0.0)  # E: a moment is a datetime
    RivetTest(Shop, host=None)  # E: a host has a name
