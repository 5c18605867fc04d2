from rivetkit import Actor, action


class Reports(Actor):
    state: list[str]

    async def on_create(self) -> None:
        berlin = self.ctx.schedule.cron.with_options(timezone="Europe/Berlin", max_history=30)
        await berlin.set("morning", "0 9 * * MON-FRI", Reports.write, "good morning")
        await self.ctx.schedule.cron.every("pulse", 300.0, Reports.write, "still here")

    @action
    async def write(self, text: str) -> None:
        fire = self.ctx.scheduled_fire
        self.state.append(text if fire is None else f"{fire.name}: {text}")

    @action
    async def outcome(self) -> list[str]:
        runs = await self.ctx.schedule.cron.history("pulse", limit=10)
        return [f"{run.scheduled_at:%H:%M} {run.result}" for run in runs]

    @action
    async def stop(self) -> bool:
        return await self.ctx.schedule.cron.delete("pulse")

    @action
    async def read(self) -> list[str]:
        return self.state
