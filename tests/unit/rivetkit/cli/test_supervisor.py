"""The supervisor over workers that a test plays, on virtual time."""

from __future__ import annotations

import asyncio
import logging
import signal

import pytest

from rivetkit.cli._backoff import Backoff
from rivetkit.cli._reports import CONFIGURATION_ERROR, Ready, Refusal, Report
from rivetkit.cli._supervisor import Supervisor, describe
from rivetkit_core.testing import FakeClock, settle

READY = Ready(("note",), 20.0, "somewhere")


class PlayedWorker:
    """A worker that does as the test says. ``obedient`` ones end when they are asked to."""

    def __init__(self, pid: int, obedient: bool) -> None:
        self.pid = pid
        self.heard: list[str] = []
        self.closed = False
        self._obedient = obedient
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._reports: asyncio.Queue[Report | None] = asyncio.Queue()

    def says(self, report: Report) -> None:
        self._reports.put_nowait(report)

    def ends(self, code: int) -> None:
        if not self._code.done():
            self._code.set_result(code)
            self._reports.put_nowait(None)

    async def report(self) -> Report | None:
        return await self._reports.get()

    async def wait(self) -> int:
        return await asyncio.shield(self._code)

    def leave(self) -> None:
        self.heard.append("leave")

    def terminate(self) -> None:
        self.heard.append("terminate")
        if self._obedient:
            self.ends(0)

    def kill(self) -> None:
        if not self._code.done():
            self.heard.append("kill")
            self.ends(-signal.SIGKILL)

    def close(self) -> None:
        self.closed = True


class World:
    """A supervisor that runs, and its workers by number: each list holds the lives of one, oldest first."""

    def __init__(self, count: int, *, grace: float | None = None, obedient: bool = True) -> None:
        self.clock = FakeClock()
        self.lives: dict[int, list[PlayedWorker]] = {number: [] for number in range(1, count + 1)}
        self.ready: list[Ready] = []
        self.refuse_spawning = False
        self._obedient = obedient
        self.supervisor = Supervisor(
            self._spawn, count, clock=self.clock, grace=grace, on_ready=self.ready.append
        )
        self.running = asyncio.create_task(self.supervisor.run())

    async def _spawn(self, number: int) -> PlayedWorker:
        if self.refuse_spawning:
            raise BlockingIOError("no more processes")
        worker = PlayedWorker(100 * number + len(self.lives[number]), self._obedient)
        self.lives[number].append(worker)
        return worker

    def worker(self, number: int = 1) -> PlayedWorker:
        return self.lives[number][-1]

    async def stop(self) -> bool:
        self.supervisor.stop()
        return await self.running


async def test_every_worker_is_started() -> None:
    world = World(3)
    await settle()
    assert [len(lives) for lives in world.lives.values()] == [1, 1, 1]
    assert await world.stop()


async def test_it_says_once_that_all_workers_work() -> None:
    world = World(2)
    await settle()
    world.worker(1).says(READY)
    await settle()
    assert world.ready == []
    world.worker(2).says(READY)
    await settle()
    world.worker(2).ends(1)
    await world.clock.advance(1)
    world.worker(2).says(READY)
    await settle()
    assert world.ready == [READY]
    await world.stop()


async def test_a_dead_worker_is_started_again_after_half_a_second() -> None:
    world = World(2)
    await settle()
    world.worker(1).ends(-signal.SIGKILL)
    await world.clock.advance(0.49)
    assert [len(lives) for lives in world.lives.values()] == [1, 1]
    await world.clock.advance(0.01)
    assert [len(lives) for lives in world.lives.values()] == [2, 1]
    assert world.lives[1][0].closed
    await world.stop()


@pytest.mark.parametrize("code", [0, 1])
async def test_however_it_ended_it_is_started_again(code: int) -> None:
    world = World(1)
    await settle()
    world.worker().ends(code)
    await world.clock.advance(0.5)
    assert len(world.lives[1]) == 2
    await world.stop()


async def test_a_crash_loop_is_told_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    world = World(1)
    with caplog.at_level(logging.WARNING, "rivetkit.workers"):
        for _ in range(5):
            await settle()
            world.worker().ends(-signal.SIGSEGV)
            await world.clock.advance(30)
    assert "worker 1 was killed by SIGSEGV after 0.0 s; starting it again in 0.5 s" in caplog.messages
    assert any(
        record.levelno == logging.ERROR and "keeps ending: 5 times in a row" in record.message
        for record in caplog.records
    )
    await world.stop()


def test_the_wait_doubles_up_to_half_a_minute_and_begins_anew_after_a_minute_of_life() -> None:
    backoff = Backoff()
    assert [backoff.after(1.0) for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert backoff.after(60.0) == 0.5
    assert backoff.after(59.9) == 1.0


def test_the_wait_stays_bounded_for_ever() -> None:
    backoff = Backoff()
    assert {backoff.after(0.0) for _ in range(5000)} == {0.5, 1, 2, 4, 8, 16, 30}


async def test_a_configuration_error_at_first_start_ends_everything() -> None:
    world = World(3)
    await settle()
    refusal = Refusal("there is no module app")
    for number in (2, 1):
        world.worker(number).says(refusal)
        world.worker(number).ends(CONFIGURATION_ERROR)
    assert not await world.running
    assert world.supervisor.refusal == refusal
    assert world.worker(3).heard == ["leave", "terminate"]
    assert [len(lives) for lives in world.lives.values()] == [1, 1, 1]


async def test_a_configuration_error_of_one_that_comes_back_ends_nothing() -> None:
    world = World(2)
    await settle()
    for number in (1, 2):
        world.worker(number).says(READY)
    await settle()
    world.worker(1).says(Refusal("the module app cannot be imported"))
    world.worker(1).ends(CONFIGURATION_ERROR)
    await world.clock.advance(0.5)
    assert [len(lives) for lives in world.lives.values()] == [2, 1]
    assert world.supervisor.refusal is None
    assert await world.stop()


async def test_workers_hear_that_all_leave_before_they_are_asked_to_end() -> None:
    world = World(2)
    await settle()
    assert await world.stop()
    assert [world.worker(number).heard for number in (1, 2)] == [["leave", "terminate"]] * 2


async def test_a_worker_that_fails_at_the_end_makes_the_end_unclean() -> None:
    world = World(2, obedient=False)
    await settle()
    world.supervisor.stop()
    await settle()
    world.worker(1).ends(0)
    world.worker(2).ends(1)
    assert not await world.running


async def test_a_worker_that_had_no_handler_yet_ends_cleanly_by_the_signal() -> None:
    world = World(1, obedient=False)
    await settle()
    world.supervisor.stop()
    await settle()
    world.worker().ends(-signal.SIGTERM)
    assert await world.running


async def test_a_worker_that_does_not_end_in_time_is_killed() -> None:
    world = World(1, grace=7.0, obedient=False)
    await settle()
    world.supervisor.stop()
    await world.clock.advance(6.9)
    assert world.worker().heard == ["leave", "terminate"]
    await world.clock.advance(0.1)
    assert world.worker().heard == ["leave", "terminate", "kill"]
    assert not await world.running


async def test_workers_get_the_time_they_say_they_need() -> None:
    world = World(1, obedient=False)
    await settle()
    world.worker().says(READY)
    await settle()
    world.supervisor.stop()
    await world.clock.advance(19.9)
    assert "kill" not in world.worker().heard
    await world.clock.advance(0.1)
    assert "kill" in world.worker().heard
    await world.running


async def test_kill_waits_for_nothing() -> None:
    world = World(2, obedient=False)
    await settle()
    world.supervisor.stop()
    await settle()
    world.supervisor.kill()
    assert not await world.running
    assert world.worker(2).heard == ["leave", "terminate", "kill"]


async def test_a_stop_while_a_worker_is_awaited_to_come_back_ends_at_once() -> None:
    world = World(1)
    await settle()
    world.worker().ends(1)
    await settle()
    assert await world.stop()
    assert len(world.lives[1]) == 1


async def test_a_system_without_room_for_a_process_is_tried_again() -> None:
    world = World(1)
    world.refuse_spawning = True
    await settle()
    world.refuse_spawning = False
    await world.clock.advance(0.5)
    assert len(world.lives[1]) == 1
    assert await world.stop()


async def test_cancelling_kills_the_workers() -> None:
    world = World(2)
    await settle()
    world.running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await world.running
    assert [world.worker(number).heard for number in (1, 2)] == [["kill"]] * 2


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "ended with exit code 0"),
        (78, "ended with exit code 78"),
        (-9, "was killed by SIGKILL"),
        (-99, "was killed by signal 99"),
    ],
)
def test_an_end_is_described(code: int, words: str) -> None:
    assert describe(code) == words
