from rivetkit import Actor, Queue, action


class Desk(Actor):
    letters = Queue[str]()
    parcels = Queue[int, str]()

    @action
    async def next_item(self) -> str:
        job = await self.ctx.queue.wait_for(Desk.letters, Desk.parcels, timeout=5.0)
        if Desk.parcels.owns(job):
            await job.complete(f"parcel {job.body}")
            return f"parcel {job.body}"
        return f"letter {job.body}"
