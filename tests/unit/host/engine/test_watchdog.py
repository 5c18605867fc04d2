"""The event loop is really blocked here, by waiting for the watchdog's own thread to say so."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from rivetkit_core.clock import SystemClock
from rivetkit_core.host.engine.watchdog import Watchdog
from tests.unit.actor.scripted import Script, Scripted, World, call
from tests.unit.host.engine.world import running

LIMITS = (0.05, 0.1)
PATIENCE = 10.0


class Heard(logging.Handler):
    """Keeps what the watchdog says, and lets a blocking function wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._said = threading.Semaphore(0)

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())
        self._said.release()

    def block(self, times: int) -> None:
        """Block the calling thread until something was said so many times."""
        for _ in range(times):
            assert self._said.acquire(timeout=PATIENCE)


class Jumping(SystemClock):
    """A clock on which an hour passes between two looks, as for a process that was paused."""

    def __init__(self) -> None:
        self._looks = 0
        self.looked_twice = threading.Event()

    def monotonic(self) -> float:
        self._looks += 1
        if self._looks >= 2:
            self.looked_twice.set()
        return self._looks * 3600.0


@pytest.fixture
def heard() -> Generator[Heard]:
    handler, logger = Heard(), logging.getLogger("rivetkit.envoy")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@contextmanager
def watching(watchdog: Watchdog) -> Generator[None]:
    watchdog.start()
    try:
        yield
    finally:
        watchdog.stop()


def watchdogs() -> int:
    return sum(thread.name == "rivetkit watchdog" for thread in threading.enumerate())


async def test_a_blocked_loop_is_reported_once_for_each_limit_with_the_place(heard: Heard) -> None:
    with watching(Watchdog(SystemClock(), limits=LIMITS, pause=0.01)):
        heard.block(2)
    first, second = heard.texts
    assert "blocked for 0.05 s" in first
    assert "blocked for 0.1 s" in second
    assert f"{__file__}:" in first
    assert "in Heard.block" in first


async def test_the_action_that_blocks_is_named(heard: Heard) -> None:
    async def careless(actor: Scripted, args: list[object]) -> None:
        heard.block(1)

    world = World(Script(actions={"careless": careless}))
    task = await world.started()
    with watching(Watchdog(SystemClock(), limits=(0.05,), pause=0.01)):
        await call(task, "careless")
    assert "by action 'careless' of actor scripted a/b\\/c at" in heard.texts[0]


async def test_a_hook_that_blocks_is_named_with_its_actor(heard: Heard) -> None:
    async def careless(actor: Scripted) -> None:
        heard.block(1)

    world = World(Script(hooks={"on_wake": careless}))
    with watching(Watchdog(SystemClock(), limits=(0.05,), pause=0.01)):
        await world.started()
    assert "by actor scripted a/b\\/c at" in heard.texts[0]


async def test_a_process_that_was_paused_is_not_taken_for_blocked(heard: Heard) -> None:
    clock = Jumping()
    with watching(Watchdog(clock, limits=LIMITS, pause=0.01)):
        assert clock.looked_twice.wait(PATIENCE)
    assert heard.texts == []


async def test_stopping_does_not_wait_for_the_next_look() -> None:
    before, began = watchdogs(), time.monotonic()
    watchdog = Watchdog(SystemClock(), limits=(60.0,), pause=60.0)
    watchdog.start()
    assert watchdogs() == before + 1
    watchdog.stop()
    watchdog.stop()
    assert watchdogs() == before
    assert time.monotonic() - began < PATIENCE


async def test_a_host_is_watched_while_it_is_open() -> None:
    before = watchdogs()
    async with running() as world:
        assert watchdogs() == before + 1
        await world.clock.advance(0.0)
    assert watchdogs() == before
