"""One actor per shop works through its orders, one after the other, whatever happens meanwhile.

An order is stored before its sender goes on, and is handled at least once: what was done for it is noted
under its id, and not done again. While the bank is away it is tried again, and in the end put aside.

Run it with ``python -m examples.order_queue``; the client beside it orders something.
"""

from pydantic import BaseModel, Field

from examples.order_queue.bank import bank
from rivetkit import Actor, Deduplicate, Job, Queue, Registry, Retry, action, actor

KEPT_RECEIPTS = 1000


class Order(BaseModel):
    id: str
    item: str
    price: float = Field(gt=0)
    card: str


class Receipt(BaseModel):
    order_id: str
    accepted: bool
    reason: str | None = None


class Books(BaseModel):
    sold: dict[str, int] = {}
    turnover: float = 0.0
    receipts: dict[str, Receipt] = {}


@actor(name="shop", durability="strict", sleep_timeout=10.0)
class Shop(Actor):
    state: Books

    failed = Queue[Order, Receipt]()
    orders = Queue[Order, Receipt](
        retries=Retry(attempts=4, delay=1.0, max_delay=60.0),
        dead_letter=failed,
        deduplicate=Deduplicate(by=lambda order: order.id, window=24 * 3600.0),
    )

    async def run(self) -> None:
        async for job in self.orders:  # sleeps while there is nothing to do
            try:
                async with job:  # whatever raises in here gives the order back, to be tried again
                    await self.handle(job)
            except Exception:  # the bank is away: the shop goes on with the next order
                self.ctx.log.exception("order message %d failed, attempt %d", job.id, job.attempt)

    async def handle(self, job: Job[Order, Receipt]) -> None:
        books, order = self.state, job.body
        receipt = books.receipts.get(order.id)
        if receipt is None:  # else it was handled, and the process died before the job was completed
            receipt = await self.sell(order)
            books.receipts[order.id] = receipt
            for oldest in list(books.receipts)[:-KEPT_RECEIPTS]:
                del books.receipts[oldest]
        await job.complete(receipt)

    async def sell(self, order: Order) -> Receipt:
        if not await bank.charge(order.id, order.card, order.price):
            return Receipt(order_id=order.id, accepted=False, reason="the card was declined")
        self.state.sold[order.item] = self.state.sold.get(order.item, 0) + 1
        self.state.turnover += order.price
        return Receipt(order_id=order.id, accepted=True)

    @action
    def books(self) -> Books:
        return self.state

    @action
    async def try_failed_again(self) -> int:
        """Put failed orders back into the queue; returns how many."""
        return await self.orders.redrive()


registry = Registry(Shop)
