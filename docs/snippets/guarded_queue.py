from typing import Any

from rivetkit import Actor, Conn, Queue, QueueRef


class Kitchen(Actor):
    conn: Conn[str | None, None]

    orders = Queue[str]()
    complaints = Queue[str]()

    async def can_publish(self, queue: QueueRef[Any, Any, Any]) -> bool:
        return queue != Kitchen.orders or self.conn.params == "waiter"
