"""The time of a test, as its author sees it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from rivetkit.testing._world import NotOnThisHost, World


class RivetClock:
    """``rivet.clock``: the time actors live in, which only the test moves."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now(self) -> datetime:
        """The time actors read with ``self.ctx.now()``, in UTC."""
        return datetime.fromtimestamp(self._world.clock.now(), UTC)

    async def advance(
        self,
        by: timedelta | float = 0.0,
        /,
        *,
        seconds: float = 0.0,
        minutes: float = 0.0,
        hours: float = 0.0,
        days: float = 0.0,
    ) -> None:
        """Let time pass, from one due moment to the next; at each, everything that can run does.

        On return all actors and all tasks of the test wait for something. Without an amount time stands
        still, and only what is ready runs. On an engine this really waits.

        Args:
            by: A timedelta, or seconds; added to the others.

        Raises:
            ValueError: The amount is negative.
            Stuck: Something never waits.
            NotOnThisHost: More than a few seconds on an engine.
        """
        amount = by if isinstance(by, timedelta) else timedelta(seconds=by)
        amount += timedelta(seconds=seconds, minutes=minutes, hours=hours, days=days)
        if amount < timedelta(0):
            raise ValueError(f"time only moves forward, not by {amount.total_seconds()} s")
        await self._world.advance(amount.total_seconds())

    async def advance_to(self, when: datetime) -> None:
        """``advance`` until a moment.

        Raises:
            ValueError: It has passed, or has no time zone.
            NotOnThisHost: It has passed in the real time of an engine, or is more than a few seconds ahead.
        """
        if when.tzinfo is None:
            raise ValueError("say in which time zone: datetime(..., tzinfo=UTC)")
        amount = when - self.now()
        if amount < timedelta(0) and not self._world.is_virtual:
            raise NotOnThisHost(f"time is real on an engine, and {when} has passed")
        if amount < timedelta(0):
            raise ValueError(f"time only moves forward: {when} has passed, it is {self.now()}")
        await self.advance(amount)
