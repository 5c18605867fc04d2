from rivetkit import Actor, Retries, action


class Invoices(Actor):
    state: list[str]

    @action
    async def order(self, number: str) -> None:
        patient = self.ctx.schedule.with_options(retries=Retries(times=5, delay=2.0, max_delay=60.0))
        await patient.after(0.0, Invoices.send, number)

    @action
    async def send(self, number: str) -> None:
        if number in self.state:
            return  # an earlier try got this far
        fire = self.ctx.scheduled_fire
        if fire is not None and fire.attempt == 1:
            raise ConnectionError("the mail server is busy")
        self.state.append(number)

    @action
    async def sent(self) -> list[str]:
        return self.state
