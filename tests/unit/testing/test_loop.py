from __future__ import annotations

import asyncio
import socket
import threading
from itertools import count

import pytest
from anyio import fail_after
from anyio.to_thread import run_sync

from rivetkit_core.testing import LoopControl, Stuck
from rivetkit_core.testing.order import ShuffledQueue


async def test_time_goes_on_while_everybody_waits() -> None:
    with LoopControl() as control:
        await asyncio.sleep(3600)
        assert control.clock.monotonic() == 3600


async def test_time_stands_still_while_somebody_is_ready() -> None:
    with LoopControl() as control:
        for _ in range(100):
            await asyncio.sleep(0)
        assert control.clock.monotonic() == 0


async def test_timers_of_the_loop_and_of_the_clock_share_one_time() -> None:
    order: list[str] = []
    with LoopControl() as control:
        loop = asyncio.get_running_loop()
        loop.call_later(2.0, order.append, "loop")
        control.clock.call_later(1.0, lambda: order.append("clock"))
        loop.call_at(loop.time() + 3.0, order.append, "at")
        await control.clock.advance(2.5)
        assert order == ["clock", "loop"]
        await control.clock.advance(0.5)
    assert order == ["clock", "loop", "at"]


async def test_a_cancelled_timer_of_the_loop_holds_nobody_up() -> None:
    with LoopControl() as control:
        asyncio.get_running_loop().call_later(10.0, list[int]).cancel()
        await asyncio.sleep(20.0)
        assert control.clock.pending() == []


async def test_timeouts_of_asyncio_and_anyio_expire_in_virtual_time() -> None:
    with LoopControl() as control:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.Event().wait()
        with pytest.raises(TimeoutError), fail_after(30):
            await asyncio.Event().wait()
        assert control.clock.monotonic() == 60


@pytest.mark.parametrize("pool", ["executor", "anyio"])
async def test_time_waits_for_threads(pool: str) -> None:
    go, moved = threading.Event(), list[float]()

    async def work() -> None:
        if pool == "executor":
            await asyncio.to_thread(go.wait)
        else:
            await run_sync(go.wait)
        moved.append(control.clock.monotonic())

    with LoopControl() as control:
        control.clock.call_later(5.0, go.set)  # would free the thread, were time to go on
        task = asyncio.create_task(work())
        threading.Timer(0.05, go.set).start()
        await control.clock.advance(1.0)
        await task
    assert moved == [0.0]


async def test_sockets_get_a_moment_before_time_goes_on() -> None:
    left, right = socket.socketpair()
    left.setblocking(False)
    with left, right, LoopControl() as control:
        threading.Timer(0.001, right.send, [b"x"]).start()
        async with asyncio.timeout(1e6):
            assert await asyncio.get_running_loop().sock_recv(left, 1) == b"x"
        assert control.clock.monotonic() < 1e6


async def test_waiting_for_what_cannot_happen_is_an_error_there() -> None:
    with LoopControl(), pytest.raises(Stuck, match="cannot happen"):
        await asyncio.Event().wait()


async def test_the_error_comes_out_of_what_a_task_waits_for() -> None:
    async def forever() -> None:
        await asyncio.Event().wait()

    with LoopControl(), pytest.raises(Stuck):
        await asyncio.create_task(forever())


async def test_waiting_while_only_timers_fire_is_an_error() -> None:
    async def tick() -> None:
        for _ in count():
            await asyncio.sleep(1)

    with LoopControl():
        ticking = asyncio.create_task(tick())
        with pytest.raises(Stuck, match="100000 timers"):
            await asyncio.Event().wait()
        ticking.cancel()


async def test_what_never_waits_is_named() -> None:
    async def spin() -> None:
        for _ in count():
            await asyncio.sleep(0)

    with LoopControl() as control:
        spinning = asyncio.create_task(spin(), name="spinner")
        with pytest.raises(Stuck, match=r"spinner in <coroutine object .*spin"):
            await control.clock.advance(1)
        spinning.cancel()


async def test_the_loop_is_as_before_afterwards() -> None:
    loop = asyncio.get_running_loop()

    def look() -> tuple[set[str], str, object]:
        return set(vars(loop)), type(vars(loop)["_ready"]).__name__, vars(loop)["_selector"]

    before = look()
    with LoopControl(seed=1):
        assert look() != before
    assert look() == before


async def test_another_loop_is_noticed() -> None:
    async def elsewhere() -> None:
        control.note_progress()

    with LoopControl() as control, pytest.raises(Stuck, match="another event loop"):
        await asyncio.to_thread(asyncio.run, elsewhere())


async def order_of(seed: int | None) -> list[str]:
    order: list[str] = []

    async def work(name: str) -> None:
        for _ in range(3):
            order.append(name)
            await asyncio.sleep(1)

    with LoopControl(seed=seed):
        await asyncio.gather(*(work(name) for name in "abc"))
    return order


async def test_without_a_seed_first_come_is_first_served() -> None:
    assert await order_of(None) == list("abcabcabc")


async def test_one_seed_gives_one_order() -> None:
    assert await order_of(7) == await order_of(7)


async def test_seeds_give_many_orders() -> None:
    orders = {"".join(await order_of(seed)) for seed in range(30)}
    assert len(orders) > 10
    assert {"".join(sorted(order)) for order in orders} == {"aaabbbccc"}


async def test_only_tasks_change_places() -> None:
    loop = asyncio.get_running_loop()
    handles = [asyncio.Handle(list, (), loop) for _ in range(50)]
    queue = ShuffledQueue(handles, seed=1)
    assert [queue.popleft() for _ in handles] == handles


async def test_threads_that_were_there_before_get_a_moment_too() -> None:
    happened, loop = asyncio.Event(), asyncio.get_running_loop()
    stop = threading.Event()

    def happen() -> None:
        stop.wait()
        loop.call_soon_threadsafe(happened.set)

    thread = threading.Thread(target=happen)
    thread.start()
    with LoopControl():
        stop.set()
        await happened.wait()
    thread.join()


async def test_other_peoples_threads_do_not_keep_a_lost_test_waiting() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    with LoopControl(), pytest.raises(Stuck, match="cannot happen"):
        await asyncio.Event().wait()
    stop.set()
    thread.join()
