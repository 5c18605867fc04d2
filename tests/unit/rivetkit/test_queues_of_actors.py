"""Declared queues: what they send, receive and refuse, on running actors in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any, cast

import pytest
from pydantic import BaseModel

from rivetkit import (
    Actor,
    ActorHandle,
    Contract,
    Deduplicate,
    InvalidActor,
    Job,
    Queue,
    Registry,
    Retry,
    RivetError,
    Stub,
    UserError,
    ValidationError,
    action,
)
from rivetkit._compiler import compile_actor

misuses: list[Callable[[Shop], Awaitable[object]]] = []


class Order(BaseModel):
    id: str
    count: int = 1


class ShopContract(Contract):
    orders = Queue[Order, str]()


class Shop(Actor, ShopContract):
    notes = Queue[str]()
    numbered = Queue[int](deduplicate=Deduplicate(by=cast("Any", abs)))
    kept = Queue[str](completable=True, name="keptNotes")
    dead = Queue[Order]()
    safe = Queue[Order](
        retries=Retry(attempts=2, delay=0.0),
        dead_letter=dead,
        deduplicate=Deduplicate(by=lambda order: order.id),
    )

    @action
    async def misuse(self) -> str:
        with pytest.raises((TypeError, ValueError)) as refused:
            await misuses.pop()(self)
        return str(refused.value)

    @action
    async def forget_to_complete(self) -> None:
        await self.orders.send(Order(id="1"))
        await self.orders.send(Order(id="2"))
        await self.orders.next()
        await self.orders.next()

    @action
    async def iterate_again(self) -> list[str]:
        """Two loops, of which the first leaves its job."""
        await self.orders.send(Order(id="1"))
        seen: list[str] = []
        async for job in self.orders:
            seen.append(job.body.id)
            break
        async for job in self.orders:
            seen.append(job.body.id)
            await job.complete("ok")
            break
        return seen

    @action
    async def complete_badly(self) -> int:
        await self.orders.send(Order(id="1"))
        job = await self.orders.next()
        assert job is not None
        with pytest.raises(ValidationError):
            await job.complete(cast("str", 5))
        await job.complete("fine")
        return await self.ctx.queue.size()

    @action
    async def complete_at_the_end(self) -> tuple[bool, int]:
        await self.kept.send("a")
        job = await self.kept.next()
        assert job is not None
        async with job:
            pass
        return job.completed, await self.ctx.queue.size()

    @action
    async def fail_inside(self) -> int:
        await self.kept.send("a")
        job = await self.kept.next()
        assert job is not None
        try:
            async with job:
                raise UserError("no")
        except UserError:
            return await self.ctx.queue.size()
        return -1

    @action
    async def fail_safely(self) -> list[int]:
        await self.safe.send(Order(id="1"))
        attempts: list[int] = []
        while job := await self.safe.try_next():
            async with job:
                attempts.append(job.attempt)
                raise ValueError("no")
        return [*attempts, await self.safe.redrive()]

    @action
    async def work_side_by_side(self) -> int:
        for number in range(2):
            await self.safe.send(Order(id=str(number)))
        one, two = await self.safe.next(), await self.safe.next()
        assert one is not None
        assert two is not None
        return len({one.id, two.id})

    @action
    async def send_twice(self) -> list[bool]:
        return [(await self.safe.send(Order(id="1", count=count))).duplicate for count in (1, 2)]

    @action
    async def receive_mixed(self) -> list[tuple[str, bool]]:
        await self.notes.send("a")
        await self.orders.send(Order(id="1"))
        jobs = await self.ctx.queue.try_next_batch(Shop.notes, Shop.orders, count=5)
        return [(job.queue.name, job.completable) for job in jobs]

    @action
    async def choose(self) -> list[bool]:
        await self.notes.send("a")
        await self.orders.send(Order(id="1"))
        jobs: list[Job[Any, Any] | None] = [
            await self.notes.try_next(completable=True),
            await self.orders.try_next(completable=False),
        ]
        return [job.completable for job in jobs if job is not None]

    @action
    async def take_note(self) -> str | None:
        job = await self.notes.next(timeout=5.0)
        return None if job is None else job.body

    @action
    async def answer(self) -> None:
        async for job in self.orders:
            await job.complete(f"{job.body.count} of {job.body.id}")
            return

    @action
    async def nothing_named(self) -> None:
        await self.ctx.queue.next()


@pytest.fixture
async def shop() -> AsyncIterator[ActorHandle[Shop]]:
    registry = Registry(Shop, data_dir=":memory:")
    async with registry.lifespan():
        yield registry.client.get_or_create(Shop, "a")


async def test_a_forgotten_job_stops_the_next_receive(shop: ActorHandle[Shop]) -> None:
    with pytest.raises(RivetError) as caught:
        await shop.call(Shop.forget_to_complete)
    assert caught.value.code == "previous_message_not_completed"
    assert caught.value.metadata == {"name": "orders"}


async def test_a_job_left_by_one_loop_comes_to_the_next(shop: ActorHandle[Shop]) -> None:
    assert await shop.call(Shop.iterate_again) == ["1", "1"]


async def test_a_reply_that_does_not_fit_leaves_the_job_open(shop: ActorHandle[Shop]) -> None:
    assert await shop.call(Shop.complete_badly) == 0


async def test_a_block_completes_its_job(shop: ActorHandle[Shop]) -> None:
    assert await shop.call(Shop.complete_at_the_end) == (True, 0)


async def test_a_failed_block_keeps_its_job_and_passes_the_failure_on(shop: ActorHandle[Shop]) -> None:
    assert await shop.call(Shop.fail_inside) == 1


async def test_a_failed_block_of_a_queue_that_retries_is_tried_again(shop: ActorHandle[Shop]) -> None:
    assert await shop.call(Shop.fail_safely) == [1, 2, 1]


async def test_jobs_of_a_queue_that_retries_can_be_handled_side_by_side(shop: ActorHandle[Shop]) -> None:
    assert await shop.call(Shop.work_side_by_side) == 2


async def test_a_message_with_a_known_key_is_not_stored(shop: ActorHandle[Shop]) -> None:
    await shop.send(Shop.safe, Order(id="2"))
    await shop.send(Shop.safe, Order(id="2"))
    assert await shop.call(Shop.send_twice) == [False, True]


async def test_each_message_is_kept_as_its_queue_declares(shop: ActorHandle[Shop]) -> None:
    assert await shop.call(Shop.receive_mixed) == [("notes", False), ("orders", True)]


async def test_a_receive_may_choose(shop: ActorHandle[Shop]) -> None:
    assert await shop.call(Shop.choose) == [True, False]


async def test_receiving_from_nowhere_is_a_mistake(shop: ActorHandle[Shop]) -> None:
    with pytest.raises(RivetError, match="internal error"):
        await shop.call(Shop.nothing_named)


async def test_a_stub_sends(shop: ActorHandle[Shop]) -> None:
    class ShopStub(Stub, ShopContract): ...

    async with asyncio.TaskGroup() as group:
        sending = group.create_task(ShopStub(shop).orders.send_and_wait(Order(id="x", count=3), timeout=5.0))
        group.create_task(shop.call(Shop.answer))
    assert sending.result() == "3 of x"


async def test_a_message_by_name_is_validated_by_the_actor(shop: ActorHandle[Shop]) -> None:
    with pytest.raises(ValidationError) as caught:
        await shop.send_by_name("orders", {"id": 1})
    assert caught.value.metadata == {
        "target": "queue `orders` message",
        "issues": [{"path": ["id"], "message": "Input should be a valid string", "type": "string_type"}],
    }


@pytest.mark.parametrize("ref", ["orders", Shop.take_note, Order])
async def test_a_queue_is_given_by_reference(shop: ActorHandle[Shop], ref: Any) -> None:
    with pytest.raises(TypeError, match="a queue is named by its class"):
        await shop.send(ref, Order(id="1"))


async def test_an_actor_made_by_hand_sends_nowhere() -> None:
    made = Shop()
    assert (await made.notes.send("a")).id == 0
    with pytest.raises(ValidationError):
        await made.notes.send(cast("str", 1))
    with pytest.raises(RivetError, match="without a runtime"):
        await made.notes.try_next()


def test_references_to_one_queue_are_equal() -> None:
    same = Shop.notes
    assert same == Shop.notes
    assert hash(same) == hash(Shop.notes)
    assert same != Shop.orders
    assert same.name != Shop.kept.name == "keptNotes"


class Twice(Actor):
    one = Queue[int](name="same")
    two = Queue[int](name="same")


class Untyped(Actor):
    jobs = cast("Any", Queue)()


class Unmade(Actor):
    jobs = Queue[int]


class Annotated(Actor):
    jobs: Queue[int]


class Unretried(Actor):
    dead = Queue[int]()
    jobs = Queue[int](dead_letter=dead)


class Foreign(Actor):
    jobs = Queue[int](retries=Retry(), dead_letter=Queue[int]())


class Shared(Actor):
    dead = Queue[int]()
    one = Queue[int](retries=Retry(), dead_letter=dead)
    two = Queue[int](retries=Retry(), dead_letter=dead)


class Misfit(Actor):
    dead = Queue[str]()
    jobs = Queue[int](retries=Retry(), dead_letter=cast("Any", dead))


class Reserved(Actor):
    can_publish: Any = Queue[int]()


class Backwards(Actor):
    jobs = Queue[int](delay=-1.0)


class Timed(Actor):
    jobs = Queue[int](delay=cast("Any", "1m"))


class Counted(Actor):
    jobs = Queue[int](retries=cast("Any", 3))


class Switched(Actor):
    jobs = Queue[int](deduplicate=cast("Any", True))


@pytest.mark.parametrize(
    ("cls", "advice"),
    [
        (Timed, "delay='1m'; it is a number of seconds"),
        (Counted, r"write `retries=Retry\(attempts=3\)`"),
        (Switched, "write `deduplicate=Deduplicate"),
        (Twice, "are called 'same'"),
        (Untyped, "with the type of its messages"),
        (Unmade, "with parentheses"),
        (Annotated, "annotated but never made"),
        (Unretried, "dead letters but no retries"),
        (Foreign, "declare it on Foreign"),
        (Misfit, "declare both with the same type"),
        (Shared, "shares its dead letters"),
        (Reserved, "a name the runtime uses"),
        (Backwards, "at least 0"),
    ],
)
def test_a_mistaken_declaration_is_explained(cls: type[Actor], advice: str) -> None:
    with pytest.raises(InvalidActor, match=advice):
        compile_actor(cls)


@pytest.mark.parametrize(
    "options",
    [{"attempts": 0}, {"attempts": "3"}, {"delay": -1.0}, {"delay": "1"}, {"delay": 5.0, "max_delay": 1.0}],
)
def test_retries_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="attempts is at least 1"):
        Retry(**options)


def test_a_window_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0 seconds"):
        Deduplicate[int](by=str, window=0)


def test_a_key_is_made_by_a_function() -> None:
    with pytest.raises(ValueError, match="and is no str"):
        Deduplicate(by=cast("Any", "id"))


async def test_a_key_that_is_no_text_is_refused(shop: ActorHandle[Shop]) -> None:
    assert "is text, and int is none" in await misused(shop, lambda actor: actor.numbered.send(7))


Misuse = Callable[[Shop], Awaitable[object]]


SENSELESS: list[tuple[Misuse, str]] = [
    (lambda shop: shop.notes.send("x", delay=-5.0), "at least 0, not -5.0"),
    (lambda shop: shop.notes.send("x", delay=cast("Any", timedelta(1))), "a number of seconds"),
    (lambda shop: shop.notes.next(timeout=-1.0), "timeout is a number of seconds"),
    (lambda shop: shop.notes.next(timeout=cast("Any", "1")), "timeout is a number of seconds"),
    (lambda shop: shop.ctx.queue.next(Shop.notes, timeout=-1.0), "timeout is a number of seconds"),
    (lambda shop: shop.ctx.queue.wait_available(Shop.notes, timeout=-1.0), "timeout is a number"),
    (lambda shop: shop.orders.send_and_wait(Order(id="1"), timeout=-1.0), "timeout is a number"),
    (lambda shop: shop.notes.try_next_batch(cast("Any", "3")), "count is a whole number, not '3'"),
    (lambda shop: shop.ctx.queue.try_next(cast("Any", "notes")), "by its class, as in Room.jobs"),
]


@pytest.mark.parametrize(("misuse", "advice"), SENSELESS)
async def test_a_receive_that_makes_no_sense_is_refused(
    shop: ActorHandle[Shop], misuse: Misuse, advice: str
) -> None:
    told = await misused(shop, misuse)
    assert advice in told


async def test_a_forgotten_reply_is_named(shop: ActorHandle[Shop]) -> None:
    async def forgotten(actor: Shop) -> None:
        await actor.orders.send(Order(id="1"))
        job = await actor.orders.next()
        assert job is not None
        await cast("Any", job).complete()

    assert "write `await job.complete(reply)`" in await misused(shop, forgotten)


async def misused(shop: ActorHandle[Shop], misuse: Misuse) -> str:
    """What a mistake inside of an action is told."""
    misuses.append(misuse)
    return await shop.call(Shop.misuse)
