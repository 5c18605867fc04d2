"""One actor per person keeps their reminders, and sleeps until the next one is due.

Run it with ``python -m examples.scheduler``; the client beside it plans a few.
"""

from datetime import datetime, time, timedelta
from typing import cast

from pydantic import BaseModel

from rivetkit import Actor, Event, Registry, RivetError, UserError, action, actor

KEPT = 100


class Reminder(BaseModel):
    text: str
    at: datetime


class Planned(BaseModel):
    """What is still to come: once, to be cancelled by ``id``, or every day, to be stopped by ``name``."""

    text: str
    next_at: datetime
    id: str | None = None
    name: str | None = None


class ReminderState(BaseModel):
    given: list[Reminder] = []


@actor(name="reminders", sleep_timeout=10.0)
class Reminders(Actor):
    state: ReminderState
    due = Event[Reminder]()

    @action
    async def remind_at(self, text: str, at: datetime) -> str:
        """Remind once; the id is for ``cancel``."""
        if at <= self.ctx.now():
            raise UserError("that moment has passed", code="too_late")
        return await self.ctx.schedule.at(at, Reminders.give, text)

    @action
    async def remind_in(self, text: str, delay: timedelta) -> str:
        """Remind once, after a while; the id is for ``cancel``."""
        return await self.ctx.schedule.after(delay, Reminders.give, text)

    @action
    async def remind_daily(self, name: str, text: str, at: time, timezone: str = "UTC") -> None:
        """Remind every day when the clocks there show this time, in summer and in winter."""
        cron = self.ctx.schedule.cron.with_options(timezone=timezone)
        try:
            await cron.set(name, f"{at.minute} {at.hour} * * *", Reminders.give, text)
        except RivetError as failure:
            if failure.code != "invalid_timezone":
                raise
            raise UserError(f"there is no time zone {timezone!r}", code="unknown_timezone") from failure

    @action
    async def cancel(self, id: str) -> bool:
        return await self.ctx.schedule.cancel(id)

    @action
    async def stop_daily(self, name: str) -> bool:
        return await self.ctx.schedule.cron.delete(name)

    @action
    def planned(self) -> list[Planned]:
        """Everything that is still to come, earliest first."""
        once = [
            Planned(text=cast("str", plan.args[0]), next_at=plan.at, id=plan.id)
            for plan in self.ctx.schedule.list()
        ]
        daily = [
            Planned(text=cast("str", plan.args[0]), next_at=plan.next_at, name=plan.name)
            for plan in self.ctx.schedule.cron.list()
        ]
        return sorted(once + daily, key=lambda plan: plan.next_at)

    @action
    def given(self) -> list[Reminder]:
        return self.state.given

    @action
    async def give(self, text: str) -> None:
        """What the schedules run."""
        reminder = Reminder(text=text, at=self.ctx.now())
        self.state.given.append(reminder)
        del self.state.given[:-KEPT]
        self.due.broadcast(reminder)


registry = Registry(Reminders)
