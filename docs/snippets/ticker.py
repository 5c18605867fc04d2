from rivetkit import Actor, Event, action, actor


@actor(run_error_policy="crash")
class Ticker(Actor):
    state: int = 0
    ticked = Event[int]()

    async def run(self) -> None:
        while not await self.ctx.abort_signal.wait(1.0):
            self.state += 1
            self.ticked.broadcast(self.state)

    @action
    async def catch_up(self, ticks: int) -> int:
        async with self.ctx.keep_awake():
            for _ in range(ticks):
                self.ctx.abort_signal.raise_if_aborted()
                self.state += 1
        return self.state
