from datetime import UTC, datetime, timedelta

from rivetkit import Actor, action


class Reminders(Actor):
    state: list[str]

    @action
    async def remind(self, text: str, *, urgent: bool = False) -> None:
        self.state.append(f"{text}!" if urgent else text)

    @action
    async def plan(self) -> None:
        schedule = self.ctx.schedule
        await schedule.after(60.0, Reminders.remind, "stretch")
        await schedule.after(timedelta(hours=8), Reminders.remind, "go home", urgent=True)
        await schedule.at(datetime(2040, 1, 1, tzinfo=UTC), Reminders.remind, "happy new year")

    @action
    async def change_plans(self) -> int:
        for planned in self.ctx.schedule.list():
            if planned.args == ("stretch",):
                await self.ctx.schedule.cancel(planned.id)
        return len(self.ctx.schedule.list())

    @action
    async def read(self) -> list[str]:
        return self.state
