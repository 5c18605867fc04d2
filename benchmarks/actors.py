"""The actors that are measured."""

from __future__ import annotations

from pydantic import BaseModel

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


class LargeState(BaseModel):
    rows: list[dict[str, int]] = []
    count: int = 0


@actor(name="large")
class Large(Actor):
    """A megabyte of state, of which ``touch`` changes a number and ``peek`` nothing."""

    state: LargeState

    @action
    async def fill(self, rows: int) -> int:
        self.state.rows = [{"row": number, "value": number * 7} for number in range(rows)]
        return rows

    @action
    async def peek(self) -> int:
        return self.state.count


ACTORS = (Throttled, Strict, Large)
