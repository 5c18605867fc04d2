from pydantic import BaseModel

from rivetkit import Actor, Event, Registry, UserError, action, actor


class CounterState(BaseModel):
    count: int = 0


@actor(name="counter")
class Counter(Actor):
    state: CounterState  # saved, and validated whenever it is loaded
    changed = Event[int]()  # connected clients may subscribe

    @action
    async def increment(self, by: int = 1) -> int:
        if by == 0:
            raise UserError("by must not be zero", code="zero_step")
        self.state.count += by
        self.changed.broadcast(self.state.count)
        return self.state.count


registry = Registry(Counter)

if __name__ == "__main__":
    registry.run()  # http://127.0.0.1:6420, data in ./.rivetkit
