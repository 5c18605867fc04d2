"""Negative cases: every line marked ``# E`` must be reported, and no other line."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from app import (
    Counter,
    CounterContract,
    CounterState,
    CounterStub,
    CounterStubFromActor,
    LiveCounter,
    Member,
    Notes,
    Other,
)

from rivetkit import (
    ActionGroup,
    Actor,
    Conn,
    Event,
    EventRef,
    QueueRef,
    action,
    actor,
    create_state,
    resource,
)
from rivetkit.client import Client, SyncClient


async def bad_calls(client: Client) -> None:
    counter = client.get_or_create(Counter, "global")
    await counter.call(Counter.increment, "5")  # E: wrong argument type
    await counter.call(Counter.increment, by="5")  # E: wrong keyword argument type
    await counter.call(Counter.increment, 1, nope=True)  # E: unknown keyword
    await counter.call(Counter.increment, 1, 2)  # E: too many positionals
    await counter.call(Counter.reset_to)  # E: missing argument
    await counter.call(Other.greet, "x")  # E: action of another actor
    await counter.call(Counter.helper)  # E: not an action
    await counter.call("increment", 1)  # E: a bare name is not a reference
    await counter.call(Counter.initial, 1)  # E: the state factory is not an action
    await counter.call(Counter.changed)  # E: an event is not an action
    text: str = await counter.call(Counter.increment, 1)  # E: wrong result type
    await counter.action(Counter.increment, timeout=1.0)("5")  # E: wrong argument type after binding
    counter.events(Counter.changed)  # E: a stateless handle has no events
    client.get_or_create(int, "x")  # E: not an actor class
    client.get_or_create(Counter, "x", input=Counter.initial("3"))  # E: wrong input type
    client.get_or_create(Counter, "x", input=Counter.initial(3, 4))  # E: too many inputs
    client.get_or_create(Counter, "x", input=Counter.initial(begin=3))  # E: unknown input
    client.get_or_create(Counter, "x", input=3)  # E: a bare value is not an input
    client.get_or_create(Other, "x", input=Counter.initial(3))  # E: input of another actor
    client.get_or_create(Other, "x", input=Other.initial())  # E: missing input
    print(text)


def bad_client(client: Client) -> None:
    client.get(Counter, 3)  # E: a key is text
    client.get(Counter, ["a", 1])  # E: a part of a key is text
    client.get(Counter, "x", input=Counter.initial(3))  # E: only creation takes an input
    Client("http://h", timeout="5s")  # E: seconds are a number
    client.get(Counter, "x").action(Counter.peek, retries=3)  # E: unknown call option
    counter = client.get_or_create(Counter, "x")
    counter.connect(Member(name="x"))  # E: parameters are given by keyword
    counter.connect().events(Counter.changed, when_full="block")  # E: unknown policy
    counter.connect().on_error(3)  # E: not a callback


def bad_sync(client: SyncClient) -> None:
    counter = client.get_or_create(Counter, "x")
    counter.call(Counter.increment, "5")  # E: wrong argument type, blocking
    number: str = counter.call(Counter.peek)  # E: wrong result type, blocking
    with counter.connect() as live, live.events(Counter.changed) as changes:
        text: str = next(changes)  # E: wrong payload type, blocking
    counter.call(Other.greet, "x")  # E: action of another actor, blocking
    print(number, text)


async def bad_groups(client: Client) -> None:
    counter = client.get_or_create(Counter, "global")
    other = client.get_or_create(Other, "global")
    await counter.call(Counter.notes.add, 3)  # E: wrong argument type in a group
    await counter.call(Counter.notes.add)  # E: missing argument in a group
    await counter.call(Counter.notes.ad, "x")  # E: misspelled action in a group
    await counter.call(Counter.notes)  # E: a group is not an action
    await other.call(Counter.notes.add, "x")  # E: action of another actor's group
    number: int = await counter.call(Counter.notes.all)  # E: wrong result type from a group
    print(number)


async def bad_connection(client: Client) -> None:
    async with client.get_or_create(Counter, "global").connect() as conn:
        conn.events(Counter.increment)  # E: an action is not an event
        conn.events(Other.renamed)  # E: event of another actor
        conn.events("changed")  # E: a bare name is not an event
        async for value in conn.events(Counter.changed):
            wrong: str = value  # E: wrong payload type
            print(wrong)


async def bad_stub(client: Client) -> None:
    handle = client.get_or_create(CounterContract, "global")
    stub = CounterStub(handle)
    await stub.increment("5")  # E: wrong argument type through the stub
    await stub.incremnt(5)  # E: misspelled action
    print(stub.state)  # E: remote state is not readable
    stub.helper()  # E: not in the contract
    await stub.on_wake()  # E: hooks are not remote
    LiveCounter(handle)  # E: a live stub needs a connection
    async for _ in stub.changed:  # E: a stateless stub cannot be iterated
        pass
    stub.changed.broadcast(1)  # E: a client cannot broadcast
    Counter.changed.broadcast(1)  # E: a reference cannot broadcast
    shared = CounterStubFromActor(client.get_or_create(Counter, "global"))
    await shared.notes.add("x")  # E: groups are called by reference
    total: str = await shared.peek()  # E: wrong result type through the stub
    print(total)


async def bad_inside(live: Counter) -> None:
    live.changed.broadcast("x")  # E: wrong payload from inside the actor
    live.moved.broadcast((1, 2))  # E: wrong part of a tuple payload
    live.changed.send(live.conn, "x")  # E: wrong payload for one connection
    live.changed.send("conn-1", 1)  # E: an id is not a connection
    live.state.cuont += 1  # E: unknown state field
    live.state.count = "x"  # E: wrong state field type
    live.state = 3  # E: wrong state
    print(live.conn.params.nmae)  # E: unknown connection parameter
    live.conn.params = Member(name="x")  # E: parameters are read-only
    live.conn.state = 3  # E: wrong connection state
    live.vars["x"] = "y"  # E: wrong vars
    live.peek().bit_lenght()  # E: a local call keeps its type
    print(live.ctx.state)  # E: state is on the actor
    live.ctx.key = ()  # E: the context is read-only
    await live.notes.add(3)  # E: wrong argument in a local group call
    print(live.notes.actor.nope)  # E: unknown member of a group's actor


async def bad_schedules(live: Counter) -> None:
    schedule = live.ctx.schedule
    await schedule.after(60.0, Counter.increment, "5")  # E: wrong argument of a planned action
    await schedule.after(60.0, Counter.increment, 5, nope=1)  # E: unknown argument of a planned action
    await schedule.after(60.0, Counter.reset_to)  # E: missing argument of a planned action
    await schedule.after("60", Counter.peek)  # E: a delay is a number or a timedelta
    await schedule.after(60.0, "peek")  # E: an action is not planned by a bare name
    await schedule.after(60.0, Counter.changed)  # E: an event is not planned
    await schedule.at("2030-01-01", Counter.peek)  # E: a moment is not text
    await schedule.with_options(retries="3").after(1.0, Counter.peek)  # E: retries are a number
    await schedule.cron.set("daily", "0 9 * * *", Counter.increment, "5")  # E: wrong argument, recurring
    await schedule.cron.set("daily", 9, Counter.peek)  # E: an expression is text
    await schedule.cron.every("often", "60", Counter.peek)  # E: an interval is a number
    schedule.cron.with_options(timezone=3)  # E: a time zone is a name
    number: int = await schedule.after(1.0, Counter.peek)  # E: planning returns an id
    print(number)


def bad_codecs() -> None:
    Counter.increment.encode_args("x")  # E: wrong argument to encode
    decoded: str = Counter.increment.decode_output(b"")  # E: wrong decoded result
    payload: str = Counter.changed.decode_args(b"")  # E: wrong decoded payload
    print(decoded, payload)


@actor(nam="x")  # E: unknown option
class BadOption(Actor): ...


@actor(action_timeout="30s")  # E: wrong type of option
class BadOptionType(Actor): ...


@actor(durability="eventual")  # E: unknown durability
class BadDurability(Actor): ...


@actor  # E: not an actor class
class NotAnActor: ...


class BadActionOption(Actor):
    @action(durability="sometimes")  # E: unknown durability of an action
    async def go(self) -> None: ...

    @action(nam="x")  # E: unknown option of an action
    async def run_away(self) -> None: ...


class BadEvents(Actor):
    first = Event[int]("first")  # E: the name is given by keyword
    changed = Event[int]()

    @create_state
    def initial(self) -> CounterState:
        return 3  # E: wrong first state

    @action
    async def go(self) -> int:
        return "x"  # E: wrong result inside an action


class BadHook(Actor):
    async def on_wake(self, extra: int) -> None: ...  # E: incompatible hook signature

    async def on_connect(self, conn: int) -> None: ...  # E: a hook receives a connection

    async def on_disconnect(self) -> None: ...  # E: a hook that drops its argument

    def on_create(self) -> None: ...  # E: hooks are async

    async def on_before_connect(self, params: Member) -> bool: ...  # E: a hook refuses by raising


class WrongGroup(Actor):
    notes = Notes()


def bad_group_owner() -> None:
    print(WrongGroup.notes.add)  # E: a group of another actor


class BadGroup(ActionGroup[int]):  # E: a group belongs to an actor
    pass


class BadConn(Actor):
    conn: Conn[Member, None, int]  # E: a connection has parameters and state, no more


class Drifted(Actor, CounterContract):
    @action
    async def increment(self, by: str) -> int:  # E: drifted from the contract
        return 0


class BadOverride(Counter):
    @action
    async def increment(self, by: str) -> int:  # E: incompatible action override
        return 0


@actor(sleep_timeout="5s")  # E: durations are numbers of seconds
class BadDuration(Actor): ...


@actor(run_error_policy="retry")  # E: one of two policies
class BadPolicy(Actor): ...


class BadLife(Actor):
    async def on_migrate(self) -> None: ...  # E: it is told whether the actor is new

    async def on_sleep(self, reason: str) -> None: ...  # E: it is told nothing

    async def run(self) -> int: ...  # E: nobody takes a result

    @resource  # E: an async generator yields it
    async def pool(self) -> list[int]:
        return [1]

    @resource
    async def numbers(self) -> AsyncGenerator[int]:
        yield 1

    @action
    async def use(self) -> None:
        text: str = self.numbers  # E: the resource is a number
        print(text)
        self.numbers = "two"  # E: likewise
        self.ctx.wait_until(self.use)  # E: the work, not the method


class BadDoors(Actor):
    async def on_before_subscribe(self, event: str) -> bool: ...  # E: it refuses by raising

    async def can_subscribe(self, event: EventRef[Any, Any]) -> str: ...  # E: yes or no

    async def can_publish(self, queue: QueueRef[Any, Any, Any]) -> None: ...  # E: yes or no

    @action
    async def clear(self, conn: Conn[Member, None]) -> None:
        await self.ctx.disconnect_conns("everybody")  # E: a function picks them
        await self.ctx.disconnect_conns(None, "full")  # E: the reason is given by keyword
        conn.subscriptions.add("x")  # E: clients subscribe, actors do not
