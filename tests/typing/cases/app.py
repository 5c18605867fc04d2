"""Actors and a contract that the cases use."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import BaseModel

from rivetkit import (
    ActionGroup,
    Actor,
    Conn,
    Contract,
    Event,
    LiveStub,
    Stub,
    action,
    actor,
    create_state,
)


@dataclass
class CounterState:
    count: int = 0
    notes: list[str] = field(default_factory=list[str])


class Member(BaseModel):
    name: str


class Visit(BaseModel):
    calls: int = 0


class CounterContract(Contract):
    """What a client that does not have the implementation needs to know."""

    changed = Event[int]()

    @action
    async def increment(self, by: int = 1, *, note: str | None = None) -> int:
        raise NotImplementedError

    @action
    async def peek(self) -> int:
        raise NotImplementedError


class Notes(ActionGroup["Counter"]):
    @action
    async def add(self, note: str) -> int:
        self.actor.state.notes.append(note)
        return len(self.actor.state.notes)

    @action
    def all(self) -> list[str]:
        return self.actor.state.notes


@actor(name="counter", action_timeout=30.0, durability="strict")
class Counter(Actor):
    state: CounterState
    conn: Conn[Member, Visit]
    vars: dict[str, int]
    changed = Event[int]()
    moved = Event[tuple[int, str]](name="counterMoved")
    notes = Notes()

    @create_state
    def initial(self, start: int = 0) -> CounterState:
        return CounterState(count=start)

    async def create_vars(self) -> dict[str, int]:
        return {}

    async def create_conn_state(self, params: Member) -> Visit:
        return Visit(calls=len(params.name))

    async def on_before_connect(self, params: Member) -> None: ...

    async def on_connect(self, conn: Conn[Member, Visit]) -> None:
        conn.state.calls += 1

    async def on_before_action_response(self, name: str, args: tuple[object, ...], output: object) -> object:
        return output

    @action
    async def increment(self, by: int = 1, *, note: str | None = None) -> int:
        """Add ``by`` to the count and tell every subscriber."""
        self.state.count += by
        self.changed.broadcast(self.state.count)
        return self.state.count

    @action
    def peek(self) -> int:
        return self.state.count

    @action(name="reset", durability="strict")
    async def reset_to(self, value: int) -> None:
        self.state.count = value

    def helper(self) -> int:
        return 1


@actor
class LoudCounter(Counter):
    @action
    async def increment(self, by: int = 1, *, note: str | None = None) -> int:
        return -by


@actor(name="counter")
class ContractedCounter(Actor, CounterContract):
    """An actor that promises a contract; drift is a type error."""

    @action
    async def increment(self, by: int = 1, *, note: str | None = None) -> int:
        return by

    @action
    async def peek(self) -> int:
        return 0


@actor(name="other")
class Other(Actor):
    renamed = Event[str]()

    @create_state
    async def initial(self, title: str) -> str:
        return title

    @action
    async def greet(self, name: str) -> str:
        return f"hi {name}"


class CounterStub(Stub, CounterContract):
    """One line, no generated code: a stateless remote counter."""


class LiveCounter(LiveStub, CounterContract):
    """The same over a live connection."""


class CounterStubFromActor(Stub, Counter):
    """Also possible when client and actor share code."""
