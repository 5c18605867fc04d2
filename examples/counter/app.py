"""A counter that survives restarts. Run it with ``python -m examples.counter``."""

from pydantic import BaseModel

from rivetkit import Actor, Event, Registry, UserError, action, actor


class CounterState(BaseModel):
    count: int = 0


@actor(name="counter")
class Counter(Actor):
    state: CounterState
    changed = Event[int]()

    @action
    async def increment(self, by: int = 1) -> int:
        if by == 0:
            raise UserError("by must not be zero", code="zero_step")
        self.state.count += by
        self.changed.broadcast(self.state.count)
        return self.state.count


registry = Registry(Counter)
