"""When snapshots are written (actor-runtime 2.5)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from rivetkit_core.actor.batch import Batch
from rivetkit_core.actor.saver import Saver
from rivetkit_core.actor.task import StopKind
from rivetkit_core.actor.work import WorkRegistry
from rivetkit_core.errors import StorageError
from rivetkit_core.metrics.recorder import Recorder
from rivetkit_core.testing import FakeClock, MemoryStore, settle
from rivetkit_core.wire.persisted import ACTOR_KEY, ActorRecord, ScheduleEvent, decode_actor
from tests.unit.actor.scripted import Script, Scripted, World, call, failure_of

INTERVAL = 1.0


@dataclass
class Bench:
    """A saver over one byte string that the test changes."""

    state: bytes = b"0"
    busy: bool = False
    captures: int = 0
    fault: Exception | None = None
    clock: FakeClock = field(default_factory=FakeClock)
    store: MemoryStore = field(default_factory=MemoryStore)

    def __post_init__(self) -> None:
        self.saver = Saver(
            storage=self.store.storage("a"),
            clock=self.clock,
            work=WorkRegistry(),
            interval=INTERVAL,
            capture=self._capture,
            busy=lambda: self.busy,
            metrics=Recorder(self.clock, "a", "saved"),
        )

    async def stored(self) -> bytes | None:
        records = await self.store.storage("a").load([ACTOR_KEY])
        return decode_actor(records[ACTOR_KEY]).state if records else None

    def _capture(self) -> bytes:
        self.captures += 1
        if self.fault is not None:
            raise self.fault
        return self.state


def unavailable() -> StorageError:
    return StorageError("storage", "unavailable")


async def test_a_first_request_is_saved_one_interval_later() -> None:
    bench = Bench()
    bench.saver.request()
    await bench.clock.advance(0.99)
    assert await bench.stored() is None
    await bench.clock.advance(0.02)
    assert await bench.stored() == b"0"


async def test_requests_within_one_interval_share_a_save() -> None:
    bench = Bench()
    for state in (b"1", b"2", b"3"):
        bench.state = state
        bench.saver.request()
        await bench.clock.advance(0.2)
    await bench.clock.advance(INTERVAL)
    assert await bench.stored() == b"3"
    assert bench.store.writes == 1


async def test_the_interval_counts_from_the_last_save() -> None:
    bench = Bench()
    await bench.saver.request_and_wait()
    await bench.clock.advance(0.6)
    bench.state = b"1"
    bench.saver.request()
    await bench.clock.advance(0.41)
    assert await bench.stored() == b"1"


async def test_equal_bytes_are_not_written() -> None:
    bench = Bench()
    await bench.saver.request_and_wait()
    bench.saver.request()
    await bench.clock.advance(INTERVAL)
    await bench.saver.request_and_wait()
    assert bench.store.writes == 1


async def test_nothing_is_encoded_before_a_save_is_due() -> None:
    bench = Bench()
    for _ in range(50):
        bench.saver.request()
        await settle()
    assert bench.captures == 0


async def test_requests_that_change_nothing_are_encoded_once_an_interval() -> None:
    bench = Bench()
    await bench.saver.request_and_wait()
    bench.captures = 0
    for _ in range(100):
        bench.saver.request()
        await bench.clock.advance(0.1)
    assert bench.captures <= 11


async def test_max_wait_brings_a_save_forward() -> None:
    bench = Bench()
    bench.saver.request()
    bench.saver.request(max_wait=0.3)
    await bench.clock.advance(0.31)
    assert await bench.stored() == b"0"


async def test_max_wait_holds_for_a_request_during_a_write() -> None:
    bench = Bench()
    bench.store.hold_writes()
    bench.saver.request(immediate=True)
    await settle()
    bench.state = b"1"
    bench.saver.request(max_wait=0.3)
    bench.saver.request()
    bench.store.release_writes()
    await settle()
    assert await bench.stored() == b"0"
    await bench.clock.advance(0.31)
    assert await bench.stored() == b"1"


async def test_an_actor_asks_for_a_save_that_comes_sooner() -> None:
    async def count(instance: Scripted, _args: list[object]) -> object:
        instance.state = "counted"
        instance.context.request_save(max_wait=0.2)
        return None

    world = World(Script(actions={"count": count}))
    task = await world.started()
    await call(task, "count")
    await world.clock.advance(0.21)
    assert await world.stored_state() == "counted"


async def test_a_later_request_does_not_put_a_save_off() -> None:
    bench = Bench()
    bench.saver.request(max_wait=0.3)
    bench.saver.request(max_wait=0.9)
    await bench.clock.advance(0.31)
    assert await bench.stored() == b"0"


async def test_an_immediate_request_needs_no_time() -> None:
    bench = Bench()
    bench.saver.request(immediate=True)
    await settle()
    assert await bench.stored() == b"0"
    assert bench.clock.pending() == []


async def test_request_and_wait_returns_when_the_state_is_durable() -> None:
    bench = Bench()
    bench.store.hold_writes()
    waiting = asyncio.create_task(bench.saver.request_and_wait())
    await settle()
    assert not waiting.done()
    bench.store.release_writes()
    await waiting
    assert await bench.stored() == b"0"


async def test_cancelling_a_wait_does_not_stop_the_save() -> None:
    bench = Bench()
    bench.store.hold_writes()
    waiting = asyncio.create_task(bench.saver.request_and_wait())
    await settle()
    waiting.cancel()
    await asyncio.wait([waiting])
    bench.store.release_writes()
    await settle()
    assert await bench.stored() == b"0"


async def test_a_failed_write_is_told_to_whoever_waited_and_retried() -> None:
    bench = Bench()
    bench.store.fail_next(unavailable())
    with pytest.raises(StorageError):
        await bench.saver.request_and_wait()
    await bench.clock.advance(0.11)
    assert await bench.stored() == b"0"


async def test_retries_back_off_up_to_the_interval() -> None:
    bench = Bench()
    for _ in range(8):
        bench.store.fail_next(unavailable())
    await failure_of(bench.saver.request_and_wait())
    delays: list[float] = []
    for _ in range(7):
        (delay,) = bench.clock.pending()
        delays.append(round(delay, 3))
        await bench.clock.advance(delay)
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]
    await bench.clock.advance(INTERVAL)
    assert await bench.stored() == b"0"
    assert bench.clock.pending() == []


async def test_a_success_resets_the_back_off() -> None:
    bench = Bench()
    for _ in range(3):
        bench.store.fail_next(unavailable())
    await failure_of(bench.saver.request_and_wait())
    await bench.clock.advance(5)
    bench.state = b"1"
    bench.store.fail_next(unavailable())
    await failure_of(bench.saver.request_and_wait())
    assert bench.clock.pending() == [pytest.approx(0.1)]


async def test_a_change_during_a_write_leads_to_another_save() -> None:
    bench = Bench()
    bench.store.hold_writes()
    bench.saver.request(immediate=True)
    await settle()
    bench.state = b"1"
    bench.saver.request()
    bench.store.release_writes()
    await bench.clock.advance(INTERVAL)
    assert await bench.stored() == b"1"


async def test_a_wait_that_began_during_a_write_ends_only_after_the_next_one() -> None:
    bench = Bench()
    bench.store.hold_writes()
    bench.saver.request(immediate=True)
    await settle()
    bench.state = b"1"
    waiting = asyncio.create_task(bench.saver.request_and_wait())
    await settle()
    assert bench.store.writes == 0
    bench.store.release_writes()
    await waiting
    assert await bench.stored() == b"1"
    assert bench.store.writes == 2


async def test_a_busy_actor_is_saved_again_without_being_asked() -> None:
    bench = Bench(busy=True)
    await bench.saver.request_and_wait()
    bench.state = b"1"
    await bench.clock.advance(INTERVAL)
    assert await bench.stored() == b"1"


async def test_an_idle_actor_keeps_no_timer() -> None:
    bench = Bench()
    bench.saver.request()
    await bench.clock.advance(INTERVAL)
    assert bench.clock.pending() == []


async def test_state_that_cannot_be_encoded_is_told_to_whoever_waits() -> None:
    bench = Bench(fault=TypeError("a socket"))
    with pytest.raises(TypeError):
        await bench.saver.request_and_wait()
    bench.fault = None
    await bench.saver.request_and_wait()
    assert await bench.stored() == b"0"


async def test_a_save_during_creation_does_not_undo_that_the_actor_is_initialized() -> None:
    bench = Bench()
    creation = asyncio.create_task(
        bench.saver.write(ActorRecord(input=None, has_initialized=True, state=b"x"))
    )
    bench.saver.request(immediate=True)
    await creation
    await settle()
    record = decode_actor((await bench.store.storage("a").load([ACTOR_KEY]))[ACTOR_KEY])
    assert (record.has_initialized, record.state) == (True, b"0")


async def test_an_actor_that_saves_at_once_while_it_is_created_is_not_created_again() -> None:
    async def on_create(instance: Scripted) -> None:
        instance.context.request_save(immediate=True)

    world = World(Script(hooks={"on_create": on_create}))
    await (await world.started()).stop(StopKind.SLEEP)
    world.log.clear()
    await world.started()
    assert "create_state" not in world.log


async def test_finish_saves_what_nobody_asked_for() -> None:
    bench = Bench()
    await bench.saver.finish()
    assert await bench.stored() == b"0"


async def test_finish_waits_for_a_write_in_flight() -> None:
    bench = Bench()
    bench.store.hold_writes()
    bench.saver.request(immediate=True)
    await settle()
    bench.state = b"1"
    finishing = asyncio.create_task(bench.saver.finish())
    await settle()
    bench.store.release_writes()
    await finishing
    assert await bench.stored() == b"1"
    assert bench.store.writes == 2


async def test_a_failed_finish_is_raised() -> None:
    bench = Bench()
    bench.store.fail_next(unavailable())
    with pytest.raises(StorageError):
        await bench.saver.finish()
    assert bench.clock.pending() == []


async def test_nobody_waits_for_a_saver_that_ended() -> None:
    bench = Bench()
    await bench.saver.finish()
    with pytest.raises(StorageError):
        await bench.saver.request_and_wait()
    assert bench.clock.pending() == []


async def test_abandoning_fails_whoever_waits_and_writes_nothing() -> None:
    bench = Bench()
    bench.saver.request()
    waiter = bench.saver.completion(1)
    bench.saver.abandon()
    with pytest.raises(StorageError):
        await waiter
    await bench.clock.advance(INTERVAL * 2)
    assert await bench.stored() is None


async def test_state_is_saved_while_a_long_action_runs() -> None:
    async def slow(instance: Scripted, _args: list[object]) -> object:
        await instance.context.clock.sleep(1.5)
        instance.state = "half"
        await instance.context.clock.sleep(10)
        return None

    async def touch(instance: Scripted, _args: list[object]) -> object:
        return None

    world = World(Script(actions={"slow": slow, "touch": touch}))
    task = await world.started()
    running = asyncio.create_task(call(task, "slow"))
    await settle()
    await call(task, "touch")
    await world.clock.advance(3)
    assert await world.stored_state() == "half"
    await world.clock.advance(10)
    await running


def planning(name: str) -> Callable[[Batch], None]:
    """Adds a one-shot."""

    def plan(batch: Batch) -> None:
        batch.events = (*batch.events, ScheduleEvent(name, 1, "a"))
        batch.put(name.encode(), b"1")

    return plan


async def initialized() -> Bench:
    bench = Bench()
    await bench.saver.write(ActorRecord(has_initialized=True, state=b"0"))
    return bench


async def record_of(bench: Bench) -> ActorRecord:
    records = await bench.store.storage("a").load([ACTOR_KEY])
    return decode_actor(records[ACTOR_KEY])


async def test_batches_and_saves_at_the_same_time_keep_each_others_changes() -> None:
    bench = await initialized()
    bench.store.hold_writes()
    first = asyncio.create_task(bench.saver.commit(planning("x")))
    bench.state = b"1"
    save = bench.saver.completion(bench.saver.request(immediate=True))
    second = asyncio.create_task(bench.saver.commit(planning("y")))
    await settle()
    bench.store.release_writes()
    await asyncio.gather(first, save, second)
    stored = await record_of(bench)
    assert (stored.state, [event.event_id for event in stored.scheduled_events]) == (b"1", ["x", "y"])
    assert {b"x", b"y"} <= set(bench.store.records["a"])


async def test_cancelling_a_batch_stops_only_the_waiting() -> None:
    bench = await initialized()
    bench.store.hold_writes()
    waiting = asyncio.create_task(bench.saver.commit(planning("x")))
    await settle()
    waiting.cancel()
    await asyncio.wait([waiting])
    bench.store.release_writes()
    await bench.saver.commit(planning("y"))
    assert [event.event_id for event in (await record_of(bench)).scheduled_events] == ["x", "y"]


async def test_a_batch_that_raises_writes_nothing() -> None:
    bench = await initialized()
    writes = bench.store.writes

    def refuse(batch: Batch) -> None:
        planning("x")(batch)
        raise unavailable()

    await failure_of(bench.saver.commit(refuse))
    assert bench.store.writes == writes
    assert bench.saver.saved.scheduled_events == ()


async def test_a_batch_after_the_last_save_is_refused() -> None:
    bench = await initialized()
    await bench.saver.finish()
    refused = await failure_of(bench.saver.commit(planning("x")))
    assert refused.code == "stopping"


async def test_batches_before_the_initialization_are_stored_with_it() -> None:
    bench = Bench()
    followed: list[str] = []

    def plan(batch: Batch) -> None:
        planning("x")(batch)
        batch.delete(b"y")
        batch.then(lambda: followed.append("x"))

    await bench.saver.commit(plan)
    assert (bench.store.writes, followed) == (0, ["x"])
    await bench.saver.write(ActorRecord(has_initialized=True, state=b"0"))
    assert (bench.store.writes, len((await record_of(bench)).scheduled_events)) == (1, 1)
    assert bench.store.records["a"][b"x"] == b"1"
