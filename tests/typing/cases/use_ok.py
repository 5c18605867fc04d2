"""Positive cases: all of this must type-check in strict mode."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

from app import (
    Counter,
    CounterContract,
    CounterState,
    CounterStub,
    CounterStubFromActor,
    LiveCounter,
    LoudCounter,
    Member,
    Notes,
    Other,
    Visit,
)

from rivetkit import (
    Actor,
    Conn,
    Emitter,
    Event,
    EventRef,
    Input,
    Queue,
    QueueRef,
    RecurringAction,
    Resource,
    Retries,
    ScheduledAction,
    ScheduledFire,
    ScheduledRun,
    action,
    actor,
    resource,
)
from rivetkit.client import ActorConnection, ActorHandle, Client


async def by_reference(client: Client) -> None:
    counter = client.get_or_create(Counter, "global", input=Counter.initial(start=100))
    assert_type(counter, ActorHandle[Counter])
    assert_type(await counter.call(Counter.increment, 5, note="five"), int)
    assert_type(await counter.call(Counter.increment), int)
    assert_type(await counter.call(Counter.peek), int)
    assert_type(await counter.action(Counter.increment, timeout=3.0)(by=2), int)
    assert_type(await counter.call(Counter.reset_to, 0), None)
    assert_type(await counter.call(Counter.notes.add, "x"), int)
    assert_type(await counter.call(Counter.notes.all), list[str])
    assert_type(Counter.initial(start=3), Input[Counter])
    assert_type(Other.initial("x"), Input[Other])


async def by_connection(client: Client) -> None:
    counter = client.get_or_create(Counter, "global")
    async with counter.connect(params=Member(name="Ada")) as conn, conn.events(Counter.changed) as changed:
        assert_type(conn, ActorConnection[Counter])
        assert_type(await conn.call(Counter.increment, 1), int)
        async for value in changed:
            assert_type(value, int)
    async with counter.connect() as conn, conn.events(Counter.moved) as moved:
        async for place in moved:
            assert_type(place, tuple[int, str])


async def by_stub(client: Client) -> None:
    handle = client.get_or_create(CounterContract, "global")
    stub = CounterStub(handle)
    assert_type(await stub.increment(4, note="stub"), int)
    assert_type(await stub.peek(), int)
    shared = CounterStubFromActor(client.get_or_create(Counter, "global"))
    assert_type(await shared.peek(), int)  # a plain `def` action is awaitable from outside
    async with handle.connect() as conn:
        live = LiveCounter(conn)
        async with live.changed as changed:
            async for value in changed:
                assert_type(value, int)


def faces(live: Counter) -> None:
    assert_type(Counter.changed, EventRef[Counter, int])
    assert_type(Counter.moved, EventRef[Counter, tuple[int, str]])
    assert_type(Counter.notes, type[Notes])
    assert_type(LoudCounter.changed, EventRef[LoudCounter, int])
    assert_type(live.state, CounterState)
    assert_type(live.conn.params, Member)
    assert_type(live.conn.state, Visit)
    assert_type(live.vars, dict[str, int])
    assert_type(live.changed, Emitter[int])
    assert_type(live.notes, Notes)
    assert_type(live.notes.actor, Counter)
    assert_type(live.notes.all(), list[str])
    assert_type(live.peek(), int)
    assert_type(live.initial(3), CounterState)
    local: Callable[[int], Coroutine[Any, Any, int]] = live.increment
    live.changed.send(live.conn, 3)
    live.state = CounterState(3)
    print(local)


async def inside(live: Counter) -> None:
    assert_type(live.ctx.key, tuple[str, ...])
    assert_type(live.ctx.client, Client)
    assert_type(live.ctx.conns, list[Conn[Any, Any]])
    await live.ctx.save_state()
    assert_type(live.ctx.aborted, bool)


async def base_ref_on_derived_handle(client: Client) -> None:
    loud = client.get_or_create(LoudCounter, "loud")
    assert_type(await loud.call(Counter.increment, 2), int)
    assert_type(await loud.call(LoudCounter.increment, 2), int)
    assert_type(await loud.call(Counter.notes.add, "x"), int)
    assert_type(await loud.call(LoudCounter.notes.add, "x"), int)


def codecs() -> None:
    assert_type(Counter.increment.encode_args(2, note="x"), bytes)
    assert_type(Counter.increment.decode_output(b""), int)
    assert_type(Counter.moved.decode_args(b""), tuple[int, str])


@actor
class Hooks(Actor):
    """Overrides may be as precise as they like, and name parameters as they like."""

    async def on_create(self) -> None: ...

    async def on_wake(self) -> None: ...

    async def on_destroy(self) -> None: ...

    async def on_migrate(self, first: bool) -> None: ...

    async def on_sleep(self) -> None: ...

    async def run(self) -> None: ...

    async def on_state_change(self) -> None: ...

    async def on_before_connect(self, who: Member) -> None: ...

    async def on_connect(self, conn: Conn[Member, None]) -> None: ...

    async def on_disconnect(self, connection: Conn[Member, None]) -> None: ...

    async def create_conn_state(self, params: Member) -> None: ...

    async def create_vars(self) -> list[int]:
        return []

    async def on_before_action_response(self, name: str, args: tuple[object, ...], output: int) -> str:
        return str(output)


@actor(sleep_timeout=5.0, no_sleep=False, sleep_grace_period=3.0, run_error_policy="crash")
class Awake(Actor):
    """The context keeps the types of what it is given."""

    @resource
    async def pool(self) -> AsyncGenerator[list[int]]:
        yield [1]

    @resource
    async def older_spelling(self) -> AsyncIterator[str]:
        yield "fine"

    @action
    async def work(self) -> None:
        assert_type(self.pool, list[int])
        assert_type(self.older_spelling, str)
        assert_type(await self.ctx.keep_awake(self.count()), int)
        async with self.ctx.keep_awake():
            self.ctx.wait_until(self.count())
        assert_type(await self.ctx.abort_signal.wait(1.0), bool)

    async def count(self) -> int:
        return 1


async def held_resources() -> None:
    assert_type(Awake.pool, Resource[list[int]])
    async with Awake.pool.held(Awake()) as pool:
        assert_type(pool, list[int])


async def schedules(live: Counter) -> None:
    schedule = live.ctx.schedule
    assert_type(await schedule.after(60.0, Counter.increment, 5, note="later"), str)
    await schedule.after(timedelta(minutes=1), Counter.increment)
    await schedule.after(1, Counter.notes.add, "x")
    await schedule.at(datetime(2030, 1, 1, tzinfo=UTC), Counter.peek)
    await schedule.at(1_900_000_000.0, Counter.reset_to, 0)
    await schedule.with_options(retries=3).after(1.0, Counter.peek)
    await schedule.with_options(retries=Retries(3, delay=0.5)).at(0.0, Counter.increment, by=2)
    await schedule.after_by_name(1.0, "increment", 5)
    assert_type(await schedule.cancel("x"), bool)
    assert_type(schedule.get("x"), ScheduledAction | None)
    assert_type(schedule.list(), list[ScheduledAction])
    assert_type(live.ctx.scheduled_fire, ScheduledFire | None)
    cron = schedule.cron.with_options(timezone="Europe/Berlin", max_history=10)
    await cron.set("daily", "0 9 * * *", Counter.increment, 5, note="daily")
    await cron.every("often", timedelta(minutes=5), Counter.peek)
    await cron.every_by_name("named", 60.0, "increment", 5)
    assert_type(cron.get("daily"), RecurringAction | None)
    assert_type(cron.list(), list[RecurringAction])
    assert_type(await cron.delete("daily"), bool)
    assert_type(await cron.history("daily", limit=5), list[ScheduledRun])


class Doors(Actor):
    """Access hooks get references, compared with those of the class."""

    conn: Conn[Member, Visit]
    opened = Event[int]()
    orders = Queue[str]()

    async def on_before_subscribe(self, event: str) -> None: ...

    async def can_subscribe(self, event: EventRef[Any, Any]) -> bool:
        return event == Doors.opened and self.conn.params.name == "Ada"

    async def can_publish(self, queue: QueueRef[Any, Any, Any]) -> bool:
        return queue == Doors.orders

    @action
    async def clear(self) -> int:
        assert_type(self.conn.subscriptions, frozenset[str])
        assert_type(self.conn.is_hibernatable, bool)
        assert_type(await self.ctx.disconnect_conns(), int)
        return await self.ctx.disconnect_conns(lambda conn: conn.id != self.conn.id, reason="full")
