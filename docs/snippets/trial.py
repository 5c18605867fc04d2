from pydantic import BaseModel

from rivetkit import Actor, Queue, Registry, action


class TrialState(BaseModel):
    email: str = ""
    active: bool = False


class Trial(Actor):
    state: TrialState
    mails = Queue[str, bool]()  # what is to be sent; the reply says whether it was

    @action
    async def start(self, email: str) -> None:
        self.state = TrialState(email=email, active=True)
        await self.ctx.schedule.after(27 * 86400.0, Trial.remind)
        await self.ctx.schedule.after(30 * 86400.0, Trial.end)

    @action
    async def remind(self) -> None:
        await self.mails.send(f"{self.state.email}: three days are left")

    @action
    async def end(self) -> None:
        self.state.active = False

    @action
    async def is_active(self) -> bool:
        return self.state.active

    @action
    async def unsent(self) -> list[str]:
        return [mail.body for mail in await self.mails.try_next_batch(10)]


registry = Registry(Trial)
