from pydantic import BaseModel

from rivetkit import Actor, Queue, action


class Order(BaseModel):
    id: str
    item: str
    count: int = 1


class Receipt(BaseModel):
    order_id: str
    total: float


class Shop(Actor):
    orders = Queue[Order, Receipt]()  # has a reply: kept until it is completed
    visits = Queue[str]()  # has none: deleted before it is handed over

    @action
    async def serve(self) -> int:
        served = 0
        while job := await self.orders.try_next():
            await job.complete(Receipt(order_id=job.body.id, total=job.body.count * 9.5))
            served += 1
        return served

    @action
    async def visitors(self) -> list[str]:
        return [job.body for job in await self.visits.try_next_batch(100)]
