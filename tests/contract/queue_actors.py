"""An actor with queues, for the contract suite."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from rivetkit import Actor, Conn, Deduplicate, Queue, QueueRef, Retry, action, actor


class Order(BaseModel):
    item: str
    count: int = 1


@actor(name="worker", max_queue_size=3, max_queue_message_size=400, action_timeout=5.0)
class Worker(Actor):
    """Receives when told to."""

    conn: Conn[str | None, None]

    notes = Queue[str]()
    orders = Queue[Order, str]()
    guarded = Queue[int]()

    dead = Queue[str]()
    risky = Queue[str](
        delay=0.0,
        retries=Retry(attempts=2, delay=0.0),
        dead_letter=dead,
        deduplicate=Deduplicate(by=str.lower),
    )

    async def can_publish(self, queue: QueueRef[Any, Any, Any]) -> bool:
        return queue != Worker.guarded or self.conn.params == "boss"

    @action
    async def note(self, text: str) -> int:
        return (await self.notes.send(text)).id

    @action
    async def take_note(self, timeout: float = 0.0) -> str | None:
        job = await self.notes.next(timeout=timeout)
        return None if job is None else job.body

    @action
    async def take_guarded(self) -> int | None:
        job = await self.guarded.try_next()
        return None if job is None else job.body

    @action
    async def peek_order(self) -> str | None:
        """Receive an order and leave it there."""
        job = await self.ctx.queue.try_next(Worker.orders)
        return None if job is None else job.body.item

    @action
    async def fill_order(self, timeout: float = 4.0) -> str | None:
        """Receive an order and complete it."""
        async for job in self.orders:
            await job.complete(f"{job.body.count} x {job.body.item}")
            return job.body.item
        return None

    @action
    async def order_myself(self, item: str) -> str | None:
        return await self.orders.send_and_wait(Order(item=item), timeout=0.01)

    @action
    async def hold_risky(self) -> int | None:
        """Receive and keep it, as a crash would."""
        job = await self.risky.try_next()
        return None if job is None else job.attempt

    @action
    async def fail_risky(self) -> int:
        job = await self.risky.next()
        assert job is not None
        async with job:
            raise ValueError(job.body)
        return job.attempt

    @action
    async def look(self) -> list[str]:
        return [f"{sent.id} {sent.body}" for sent in await self.notes.inspect()]

    @action
    async def redrive(self) -> int:
        return await self.risky.redrive()

    @action
    async def reset(self) -> None:
        await self.ctx.queue.reset()

    @action
    async def size(self) -> int:
        return await self.ctx.queue.size()
