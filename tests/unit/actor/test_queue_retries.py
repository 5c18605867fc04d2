"""Delays, retries, dead letters and deduplication: what queues opt in to."""

from __future__ import annotations

import pytest

from rivetkit_core.actor.factory import QueueSpec, RetrySpec
from rivetkit_core.actor.queue import ActorQueue
from rivetkit_core.actor.queue_message import ReceivedMessage
from rivetkit_core.errors import StorageError
from rivetkit_core.testing import settle
from tests.unit.actor.queue_world import QueueWorld, code_of, running

RETRIED = QueueSpec(retries=RetrySpec(3, 1.0, 10.0), dead_letter="dead")
DELAYED = QueueSpec(delay=0.0)
UNIQUE = QueueSpec(deduplicate=60.0)


async def received(queue: ActorQueue, name: str = "a") -> ReceivedMessage | None:
    return await queue.try_next([name], completable=True)


async def taken(queue: ActorQueue, name: str = "a") -> ReceivedMessage:
    message = await received(queue, name)
    assert message is not None
    return message


# --- delays -----------------------------------------------------------------------------------------


async def test_a_delayed_message_is_received_when_it_is_due() -> None:
    world = QueueWorld({"a": DELAYED})
    queue = world.generation()
    await queue.send("a", b"late", delay=5.0)
    await queue.send("a", b"now")
    async with running(queue.next_batch(["a"], 2)) as receiving:
        assert [message.body for message in receiving.result()] == [b"now"]
    async with running(queue.next(["a"])) as waiting:
        await world.clock.advance(4.9)
        assert not waiting.done()
        await world.clock.advance(0.1)
        message = waiting.result()
        assert message is not None
        assert message.body == b"late"


async def test_a_delay_outlives_the_generation() -> None:
    world = QueueWorld({"a": QueueSpec(delay=5.0)})
    await world.generation().send("a", b"")
    queue = world.generation()
    due = await queue.next_due()
    assert due is not None
    assert due == round(world.clock.now() * 1000) + 5000
    await world.clock.advance(5.0)
    assert await received(queue) is not None


async def test_nothing_is_due_in_plain_queues_and_nothing_is_read() -> None:
    world = QueueWorld()
    world.storage.failure = StorageError("storage", "unavailable", "down")
    assert await world.generation().next_due() is None


async def test_a_plain_queue_takes_no_delay() -> None:
    queue = QueueWorld().generation()
    assert await code_of(queue.send("a", b"", delay=1.0)) == "queue.delay_not_configured"
    assert await queue.size() == 0


# --- retries ----------------------------------------------------------------------------------------


async def test_a_message_in_hand_is_given_to_nobody_else() -> None:
    world = QueueWorld({"a": RETRIED})
    queue = world.generation()
    await queue.send("a", b"")
    message = await taken(queue)
    assert await received(queue) is None
    assert (world.messages[1].in_flight, world.messages[1].in_flight_at) == (True, message.created_at)
    await message.complete()
    assert world.messages == {}


async def test_failures_are_tried_again_with_growing_delays() -> None:
    world = QueueWorld({"a": QueueSpec(retries=RetrySpec(9, 1.0, 3.0))})
    queue = world.generation()
    await queue.send("a", b"")
    for failures, delay in enumerate([1.0, 2.0, 3.0, 3.0]):
        message = await taken(queue)
        assert message.failures == failures
        await message.retry()
        await world.clock.advance(delay - 0.001)
        assert await received(queue) is None
        await world.clock.advance(0.001)


async def test_a_receiver_may_choose_the_delay() -> None:
    world = QueueWorld({"a": RETRIED})
    queue = world.generation()
    await queue.send("a", b"")
    await (await taken(queue)).retry(0.0)
    assert (await taken(queue)).failures == 1


async def test_a_released_message_has_not_failed() -> None:
    world = QueueWorld({"a": RETRIED})
    queue = world.generation()
    await queue.send("a", b"")
    await (await taken(queue)).release()
    assert (await taken(queue)).failures == 0


async def test_the_last_failure_makes_a_dead_letter_and_tells_the_sender() -> None:
    world = QueueWorld({"a": QueueSpec(retries=RetrySpec(1, 1.0, 1.0), dead_letter="dead")})
    queue = world.generation()
    async with running(queue.enqueue_and_wait("a", b"poison")) as sending:
        await (await taken(queue)).retry()
        await settle()
        failure = sending.exception()
        assert getattr(failure, "code", None) == "retries_exhausted"
    [dead] = world.messages.values()
    assert (dead.name, dead.body, dead.failure_count, dead.in_flight) == ("dead", b"poison", None, None)
    assert world.metadata.size == await queue.size() == 1


async def test_without_dead_letters_the_last_failure_drops_the_message() -> None:
    world = QueueWorld({"a": QueueSpec(retries=RetrySpec(1, 1.0, 1.0))})
    queue = world.generation()
    await queue.send("a", b"")
    await (await taken(queue)).retry()
    assert world.messages == {}


async def test_dead_letters_are_moved_back() -> None:
    world = QueueWorld({"a": QueueSpec(retries=RetrySpec(1, 1.0, 1.0), dead_letter="dead")})
    queue = world.generation()
    for number in range(3):
        await queue.send("a", b"%d" % number)
        await (await taken(queue)).retry()
    assert await queue.redrive("a", 2) == 2
    assert [(one.name, one.body) for one in world.messages.values()] == [
        ("dead", b"2"),
        ("a", b"0"),
        ("a", b"1"),
    ]
    assert (await taken(queue)).failures == 0


async def test_a_crash_with_a_message_in_hand_counts_as_a_failure() -> None:
    world = QueueWorld({"a": RETRIED})
    await world.generation().send("a", b"")
    for failures in range(3):
        queue = world.generation()
        await queue.size()
        await world.clock.advance(20.0)
        assert (await taken(queue)).failures == failures
    assert await world.generation().size() == 1
    assert [one.name for one in world.messages.values()] == ["dead"]


async def test_only_queues_with_retries_take_messages_back() -> None:
    queue = QueueWorld().generation()
    await queue.send("a", b"")
    message = await taken(queue)
    assert await code_of(message.retry()) == "queue.retries_not_configured"
    assert await code_of(queue.redrive("a")) == "queue.dead_letter_not_configured"
    await message.complete()


async def test_a_message_is_given_back_or_completed_once() -> None:
    world = QueueWorld({"a": RETRIED})
    queue = world.generation()
    await queue.send("a", b"")
    message = await taken(queue)
    await message.retry()
    assert await code_of(message.complete()) == "queue.already_completed"


# --- deduplication ----------------------------------------------------------------------------------


async def test_a_known_key_stores_nothing_within_its_window() -> None:
    world = QueueWorld({"a": UNIQUE})
    first = await world.generation().send("a", b"1", key="k")
    queue = world.generation()
    again = await queue.send("a", b"2", key="k")
    assert (again.id, again.duplicate) == (first.id, True)
    await queue.next()
    assert (await queue.send("a", b"3", key="k")).duplicate
    await world.clock.advance(60.0)
    assert not (await queue.send("a", b"4", key="k")).duplicate


async def test_keys_belong_to_their_queue() -> None:
    queue = QueueWorld({"a": UNIQUE, "b": UNIQUE}).generation()
    await queue.send("a", b"", key="k")
    assert not (await queue.send("b", b"", key="k")).duplicate
    assert not (await queue.send("a", b"", key="l")).duplicate


async def test_senders_of_one_message_share_its_reply() -> None:
    queue = QueueWorld({"a": UNIQUE}).generation()
    async with (
        running(queue.enqueue_and_wait("a", b"", key="k")) as one,
        running(queue.enqueue_and_wait("a", b"", key="k")) as two,
    ):
        await (await taken(queue)).complete(b"reply")
        assert [await one, await two] == [b"reply", b"reply"]
    assert await queue.enqueue_and_wait("a", b"", key="k") is None


async def test_old_keys_are_deleted() -> None:
    world = QueueWorld({"a": UNIQUE})
    queue = world.generation()
    await queue.send("a", b"", key="old")
    await world.clock.advance(61.0)
    await queue.send("a", b"", key="new")
    assert sum(key.startswith(b"\x70\x79\x02") for key in world.storage.records) == 1


async def test_a_reset_forgets_keys() -> None:
    world = QueueWorld({"a": UNIQUE})
    queue = world.generation()
    await queue.send("a", b"", key="k")
    await queue.reset()
    assert not (await queue.send("a", b"", key="k")).duplicate


async def test_a_queue_without_keys_stores_none() -> None:
    world = QueueWorld()
    queue = world.generation()
    await queue.send("a", b"", key="k")
    assert not (await queue.send("a", b"", key="k")).duplicate
    assert all(key.startswith(b"\x05") for key in world.storage.records)


@pytest.mark.parametrize("spec", [RETRIED, DELAYED, UNIQUE])
async def test_a_message_that_waits_untouched_is_stored_plainly(spec: QueueSpec) -> None:
    world = QueueWorld({"a": spec})
    await world.generation().send("a", b"1", key="k")
    [record] = world.messages.values()
    assert (record.failure_count, record.available_at, record.in_flight, record.in_flight_at) == (None,) * 4
