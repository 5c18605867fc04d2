from pydantic import BaseModel

from rivetkit import Actor, Deduplicate, Queue, Retry, action


class Payment(BaseModel):
    id: str
    amount: float


class Billing(Actor):
    failed = Queue[Payment]()
    payments = Queue[Payment](
        delay=0.0,  # senders may choose
        retries=Retry(attempts=5, delay=1.0, max_delay=60.0),
        dead_letter=failed,
        deduplicate=Deduplicate(by=lambda payment: payment.id, window=24 * 3600.0),
    )

    @action
    async def charge_later(self, payment: Payment) -> bool:
        sent = await self.payments.send(payment, delay=60.0)
        return not sent.duplicate

    @action
    async def charge(self) -> None:
        while job := await self.payments.try_next():
            async with job:  # completes it; a failure inside is tried again later
                if job.body.amount <= 0:
                    raise ValueError("nothing to charge")

    @action
    async def try_failed_again(self) -> int:
        return await self.payments.redrive()
