"""Queues of one actor (actor-runtime 7)."""

from __future__ import annotations

import asyncio

import pytest

from rivetkit_core.errors import RivetError, StorageError
from rivetkit_core.testing import settle
from rivetkit_core.wire.persisted import (
    QUEUE_METADATA_KEY,
    QueueMessage,
    QueueMetadata,
    encode_queue_message,
    encode_queue_metadata,
    queue_message_key,
)
from tests.unit.actor.queue_world import QueueWorld, code_of, running, running_for

DOWN = StorageError("storage", "unavailable", "down")


def stored(name: str, body: bytes = b"\x01") -> bytes:
    return encode_queue_message(QueueMessage(name, body, 456))


# --- sending ----------------------------------------------------------------------------------------


async def test_a_message_is_stored_as_every_sdk_stores_it() -> None:
    world = QueueWorld()
    sent = await world.generation().send("job", bytes.fromhex("a16178182a"))
    assert sent.id == 1
    assert set(world.storage.records) == {QUEUE_METADATA_KEY, bytes.fromhex("0501020000000000000001")}
    record = world.storage.records[queue_message_key(1)]
    assert record[:13] == bytes.fromhex("0400036a6f6205a16178182a") + record[12:13]
    assert record[-4:] == bytes(4)
    assert world.metadata == QueueMetadata(2, 1)


async def test_ids_count_from_one_across_queues_and_generations() -> None:
    world = QueueWorld()
    queue = world.generation()
    ids = [(await queue.send(name, b"")).id for name in ("a", "b")]
    ids.append((await world.generation().send("a", b"")).id)
    assert ids == [1, 2, 3]


async def test_a_full_queue_refuses_and_stores_nothing() -> None:
    world = QueueWorld(max_queue_size=1)
    queue = world.generation()
    await queue.send("a", b"")
    before = dict(world.storage.records)
    assert await code_of(queue.send("b", b"")) == "queue.full"
    assert world.storage.records == before


async def test_the_limit_of_a_message_is_that_of_its_record() -> None:
    size = len(stored("a", bytes(10)))
    world = QueueWorld(max_queue_message_size=size)
    queue = world.generation()
    await queue.send("a", bytes(10))
    assert await code_of(queue.send("a", bytes(11))) == "queue.message_too_large"


async def test_a_send_that_fails_leaves_size_and_messages_alone() -> None:
    world = QueueWorld()
    queue = world.generation()
    await queue.send("a", b"1")
    world.storage.failure = DOWN
    assert await code_of(queue.send("a", b"2")) == "storage.unavailable"
    world.storage.failure = None
    assert await queue.size() == 1
    assert [body.body for body in world.messages.values()] == [b"1"]


async def test_a_send_that_failed_but_was_stored_is_received() -> None:
    world = QueueWorld()
    queue = world.generation()
    await queue.size()
    world.storage.failure = DOWN
    await code_of(queue.send("a", b"2"))
    world.storage.failure = None
    world.storage.records[queue_message_key(1)] = stored("a", b"2")
    found = await queue.next(timeout=0)
    assert found is not None
    assert (found.id, found.body) == (1, b"2")
    assert (await queue.send("a", b"3")).id == 2


async def test_cancelling_a_send_does_not_undo_it() -> None:
    world = QueueWorld()
    queue = world.generation()
    sending = asyncio.create_task(queue.send("a", b"1"))
    await asyncio.sleep(0)
    sending.cancel()
    await asyncio.wait([sending])
    assert sending.cancelled()
    assert await queue.size() == len(world.messages) == 1


# --- receiving --------------------------------------------------------------------------------------


async def test_messages_come_in_the_order_they_were_sent_in() -> None:
    queue = QueueWorld().generation()
    for name in ("a", "b", "a"):
        await queue.send(name, b"")
    assert [message.id for message in await queue.next_batch(count=5, timeout=0)] == [1, 2, 3]


async def test_a_filter_takes_the_oldest_match_and_leaves_the_rest_in_place() -> None:
    queue = QueueWorld().generation()
    for name in ("a", "b", "a", "b"):
        await queue.send(name, b"")
    assert [message.id for message in await queue.next_batch(["b", "b"], 1, timeout=0)] == [2]
    assert [message.id for message in await queue.next_batch([], 9, timeout=0)] == [1, 3, 4]


async def test_a_count_below_one_is_one() -> None:
    queue = QueueWorld().generation()
    await queue.send("a", b"")
    assert len(await queue.next_batch(count=-3, timeout=0)) == 1


async def test_a_message_is_deleted_before_it_is_handed_over() -> None:
    world = QueueWorld()
    queue = world.generation()
    await queue.send("a", b"")
    assert await queue.try_next() is not None
    assert world.messages == {}
    assert world.metadata == QueueMetadata(2, 0)


async def test_a_receive_that_fails_takes_nothing() -> None:
    world = QueueWorld()
    queue = world.generation()
    await queue.send("a", b"")
    world.storage.failure = DOWN
    assert await code_of(queue.try_next()) == "storage.unavailable"
    world.storage.failure = None
    assert await queue.try_next() is not None


async def test_cancelling_a_receive_loses_nothing() -> None:
    world = QueueWorld()
    queue = world.generation()
    for body in (b"1", b"2"):
        await queue.send("a", body)
    receiving = asyncio.create_task(queue.next(["a"]))
    for _ in range(4):  # until the deletion is under way
        await asyncio.sleep(0)
    receiving.cancel()
    await asyncio.wait([receiving])
    assert receiving.cancelled()
    assert [message.body for message in await queue.next_batch(count=2, timeout=0)] == [b"1", b"2"]


async def test_a_large_batch_comes_whole() -> None:
    world = QueueWorld()
    queue = world.generation()
    for _ in range(250):
        await queue.send("a", b"")
    assert len(await queue.next_batch(count=250, timeout=0)) == 250
    assert world.metadata.size == 0


async def test_nothing_comes_within_the_timeout() -> None:
    world = QueueWorld()
    queue = world.generation()
    async with running(queue.next(["a"], timeout=5.0)) as receiving:
        await queue.send("b", b"")
        await world.clock.advance(4.999)
        assert not receiving.done()
        await world.clock.advance(0.001)
        assert receiving.result() is None


async def test_a_waiting_receiver_gets_what_is_sent() -> None:
    queue = QueueWorld().generation()
    async with running(queue.next()) as receiving:
        await queue.send("a", b"1")
        await settle()
        message = receiving.result()
        assert message is not None
        assert message.body == b"1"


async def test_of_two_waiting_receivers_each_gets_a_message() -> None:
    queue = QueueWorld().generation()
    async with running(queue.next()) as one, running(queue.next()) as two:
        await queue.send("a", b"")
        await queue.send("a", b"")
        await settle()
        ids = {message.id for task in (one, two) if (message := task.result()) is not None}
        assert ids == {1, 2}


@pytest.mark.parametrize("turns", range(12))
async def test_no_arrival_is_missed_whenever_it_comes(turns: int) -> None:
    queue = QueueWorld().generation()
    async with running_for(turns, queue.next()) as receiving:
        await queue.send("a", b"")
        await settle()
        assert receiving.done()


async def test_a_stop_ends_waiting_but_not_what_is_there() -> None:
    queue = QueueWorld().generation()
    async with running(queue.next()) as receiving:
        queue.abort()
        assert await code_of(_result(receiving)) == "actor.aborted"
    await queue.send("a", b"")
    assert await queue.next() is not None
    assert await code_of(queue.next()) == "actor.aborted"
    assert await queue.next(timeout=0) is None


async def test_waiting_for_a_name_fails_when_time_is_up() -> None:
    world = QueueWorld()
    async with running(world.generation().wait_for_names(["a"], timeout=1.5)) as waiting:
        await world.clock.advance(1.5)
        assert await code_of(_result(waiting)) == "queue.timed_out"


async def test_waiting_until_something_is_there_takes_nothing() -> None:
    queue = QueueWorld().generation()
    async with running(queue.wait_for_names_available(["b"], timeout=9.0)) as waiting:
        await queue.send("a", b"")
        await settle()
        assert not waiting.done()
        await queue.send("b", b"")
        await settle()
        assert waiting.done()
    assert await queue.size() == 2


async def test_iterating_ends_with_the_actor() -> None:
    queue = QueueWorld().generation()
    await queue.send("a", b"")

    async def drain() -> list[int]:
        return [message.id async for message in queue.iterate()]

    async with running(drain()) as draining:
        queue.abort()
        await settle()
        assert draining.result() == [1]


async def test_only_waiting_is_announced_to_the_lifecycle() -> None:
    world = QueueWorld()
    queue = world.generation()
    waits: list[int] = []
    world.work.on_quiet = lambda: waits.append(world.work.queue_waits)
    await queue.send("a", b"")
    await queue.next()
    assert waits == []
    async with running(queue.next()):
        assert waits == [1]
        await queue.send("a", b"")
        await settle()
        assert waits == [1, 0]


async def test_sending_is_use_and_receiving_is_not() -> None:
    world = QueueWorld()
    queue = world.generation()
    await queue.send("a", b"")
    with pytest.raises(RivetError):
        await queue.enqueue_and_wait("a", b"", timeout=0.0)
    assert world.uses == 2
    await queue.next()
    assert world.uses == 2


# --- completion -------------------------------------------------------------------------------------


async def test_a_completable_message_stays_until_it_is_completed() -> None:
    world = QueueWorld()
    queue = world.generation()
    await queue.send("a", b"")
    for _ in range(2):
        message = await queue.next(completable=True)
        assert message is not None
    again = await world.generation().next(completable=True)
    assert again is not None
    await again.complete()
    assert world.messages == {}
    assert world.metadata == QueueMetadata(2, 0)


async def test_a_message_is_completed_once() -> None:
    queue = QueueWorld().generation()
    await queue.send("a", b"")
    message = await queue.wait_for_names(["a"], completable=True)
    await message.complete()
    assert await code_of(message.complete()) == "queue.already_completed"


async def test_a_deleted_message_cannot_be_completed() -> None:
    queue = QueueWorld().generation()
    await queue.send("a", b"")
    message = await queue.wait_for_names(["a"])
    assert await code_of(message.complete()) == "queue.complete_not_configured"


async def test_a_completion_that_failed_may_be_tried_again() -> None:
    world = QueueWorld()
    queue = world.generation()
    await queue.send("a", b"")
    message = await queue.wait_for_names(["a"], completable=["a"])
    world.storage.failure = DOWN
    assert await code_of(message.complete()) == "storage.unavailable"
    world.storage.failure = None
    await message.complete()
    assert await queue.size() == 0


async def test_completing_what_is_gone_leaves_the_size_right() -> None:
    world = QueueWorld()
    queue = world.generation()
    await queue.send("a", b"1")
    await queue.send("a", b"2")
    first = await queue.wait_for_names(["a"], completable=True)
    twin = await queue.wait_for_names(["a"], completable=True)
    await first.complete()
    await twin.complete()
    assert world.metadata.size == await queue.size() == 1


async def test_a_sender_gets_what_its_message_is_completed_with() -> None:
    queue = QueueWorld().generation()
    async with running(queue.enqueue_and_wait("a", b"")) as sending:
        message = await queue.wait_for_names(["a"], completable=True)
        await message.complete(b"reply")
        assert await sending == b"reply"


async def test_a_sender_whose_message_is_deleted_unanswered_waits_on() -> None:
    world = QueueWorld()
    queue = world.generation()
    async with running(queue.enqueue_and_wait("a", b"", timeout=3.0)) as sending:
        await queue.next()
        await world.clock.advance(2.9)
        assert not sending.done()
        await world.clock.advance(0.1)
        assert await code_of(_result(sending)) == "queue.timed_out"


async def test_a_timed_out_message_stays_in_the_queue() -> None:
    world = QueueWorld()
    queue = world.generation()
    async with running(queue.enqueue_and_wait("a", b"", timeout=1.0)) as sending:
        await world.clock.advance(1.0)
        assert sending.done()
        assert sending.exception() is not None
    message = await queue.next(completable=True)
    assert message is not None
    await message.complete(b"nobody listens")


async def test_a_stop_does_not_end_the_wait_of_a_sender() -> None:
    queue = QueueWorld().generation()
    async with running(queue.enqueue_and_wait("a", b"")) as sending:
        queue.abort()
        await settle()
        assert not sending.done()
        queue.drop_waiters()
        assert await code_of(_result(sending)) == "queue.completion_waiter_dropped"


async def test_a_reset_deletes_everything_but_the_count_of_ids() -> None:
    world = QueueWorld()
    queue = world.generation()
    async with running(queue.enqueue_and_wait("a", b"")) as sending:
        await queue.reset()
        assert await code_of(_result(sending)) == "queue.completion_waiter_dropped"
    assert world.messages == {}
    assert world.metadata == QueueMetadata(2, 0)
    assert (await queue.send("a", b"")).id == 2


async def test_inspecting_receives_nothing() -> None:
    queue = QueueWorld().generation()
    await queue.send("a", b"1")
    await queue.send("b", b"2")
    for _ in range(2):
        assert [(number, one.body) for number, one in await queue.inspect_messages()] == [
            (1, b"1"),
            (2, b"2"),
        ]


# --- repair -----------------------------------------------------------------------------------------


async def test_messages_without_metadata_are_counted() -> None:
    world = QueueWorld()
    world.storage.records.update({queue_message_key(7): stored("a"), queue_message_key(9): stored("b")})
    queue = world.generation()
    assert await queue.size() == 2
    assert world.metadata == QueueMetadata(10, 2)


@pytest.mark.parametrize("metadata", [b"", b"\x05\x00", b"\x04\x00\x01"])
async def test_unreadable_metadata_is_made_anew(metadata: bytes) -> None:
    world = QueueWorld()
    world.storage.records.update({QUEUE_METADATA_KEY: metadata, queue_message_key(3): stored("a")})
    assert (await world.generation().send("a", b"")).id == 4
    assert world.metadata == QueueMetadata(5, 2)


@pytest.mark.parametrize(
    ("found", "repaired"),
    [
        pytest.param(QueueMetadata(8, 5), QueueMetadata(8, 1), id="size"),
        pytest.param(QueueMetadata(0, 1), QueueMetadata(4, 1), id="next-id-of-zero"),
        pytest.param(QueueMetadata(2, 1), QueueMetadata(4, 1), id="next-id-in-use"),
    ],
)
async def test_metadata_that_is_wrong_is_corrected(found: QueueMetadata, repaired: QueueMetadata) -> None:
    world = QueueWorld()
    world.storage.records[QUEUE_METADATA_KEY] = encode_queue_metadata(found)
    world.storage.records[queue_message_key(3)] = stored("a")
    assert await world.generation().size() == 1
    assert world.metadata == repaired


async def test_an_unreadable_message_is_skipped_and_its_id_not_used() -> None:
    world = QueueWorld()
    world.storage.records[queue_message_key(5)] = b"\x09\x00"
    queue = world.generation()
    assert await queue.next(timeout=0) is None
    assert (await queue.send("a", b"")).id == 6
    assert await queue.size() == 1


async def test_a_key_that_is_none_is_skipped() -> None:
    world = QueueWorld()
    world.storage.records[queue_message_key(5) + b"\x00"] = stored("a")
    assert await world.generation().size() == 0


async def test_the_fields_of_retried_messages_mean_nothing_in_a_plain_queue() -> None:
    world = QueueWorld()
    record = QueueMessage("a", b"", 1, 3, 10**15, in_flight=True, in_flight_at=5)
    world.storage.records[queue_message_key(1)] = encode_queue_message(record)
    assert await world.generation().next(timeout=0) is not None


async def _result(task: asyncio.Task[object]) -> object:
    return await task
