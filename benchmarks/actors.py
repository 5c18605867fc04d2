"""The actors that are measured."""

from __future__ import annotations

from pydantic import BaseModel

from benchmarks.load import Sample, measure
from rivetkit import Actor, Event, action, actor


class CounterState(BaseModel):
    count: int = 0


@actor(name="throttled")
class Throttled(Actor):
    state: CounterState
    changed = Event[int]()

    @action
    async def increment(self, by: int = 1) -> int:
        self.state.count += by
        return self.state.count

    @action
    async def announce(self, value: int) -> int:
        self.changed.broadcast(value)
        return value


@actor(name="strict", durability="strict")
class Strict(Actor):
    state: CounterState

    @action
    async def increment(self, by: int = 1) -> int:
        self.state.count += by
        return self.state.count


@actor(name="relay")
class Relay(Actor):
    """Calls another actor through its own client, as actors do."""

    @action
    async def drive(self, key: str, callers: int, seconds: float) -> list[float]:
        target = self.ctx.client.get_or_create(Throttled, key)

        async def call() -> None:
            await target.call(Throttled.increment, 1)

        seen = await measure([call] * callers, seconds)
        return [seen.rate, seen.p50, seen.p99, seen.calls, seen.load_cpu]

    @staticmethod
    def sample(driven: list[float]) -> Sample:
        rate, p50, p99, calls, load_cpu = driven
        return Sample(rate, p50, p99, int(calls), load_cpu)


class LargeState(BaseModel):
    rows: list[dict[str, int]] = []
    count: int = 0


class _Large(Actor):
    """As much state as asked for, of which ``peek`` touches nothing."""

    state: LargeState

    @action
    async def fill(self, rows: int) -> int:
        self.state.rows = [{"row": number, "value": number * 7} for number in range(rows)]
        return rows

    @action
    async def peek(self) -> int:
        return self.state.count


@actor(name="large")
class Large(_Large):
    state: LargeState


@actor(name="largeStrict", durability="strict")
class LargeStrict(_Large):
    state: LargeState


ACTORS = (Throttled, Strict, Relay, Large, LargeStrict)
