"""``rivetkit serve --workers`` on a real engine: real processes, killed and ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import pytest

from rivetkit.client import Client
from rivetkit_core.clock import SystemClock
from rivetkit_core.host.engine.api import EngineApi
from tests.engine.worker_program import Place
from tests.engines import RunningEngine

pytestmark = [pytest.mark.engine, pytest.mark.crash, pytest.mark.timeout(120)]

ROOT = Path(__file__).resolve().parents[2]

Fresh = Callable[[], Awaitable[str]]


class Serving:
    """A running ``rivetkit serve``, after it said that it serves."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        async with asyncio.timeout(40):
            return await self.process.wait()


@contextlib.asynccontextmanager
async def serving(
    engine: RunningEngine, namespace: str, *options: str, workers: int = 2
) -> AsyncGenerator[Serving]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RIVET")}
    environ |= {"RIVET_NAMESPACE": namespace, "RIVET_LOG_LEVEL": "WARNING"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rivetkit.cli", "serve", "tests.engine.worker_program"),
        *("--engine", engine.endpoint, "--workers", str(workers), *options),
        cwd=ROOT,
        env=environ,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(40):
            assert (await process.stdout.readline()).startswith(b"rivetkit: serving place")
        yield Serving(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 40) -> None:
    clock = SystemClock()
    async with asyncio.timeout(seconds):
        while not await condition():
            await clock.sleep(0.1)


async def places(client: Client, keys: range) -> dict[int, int]:
    """The process of each actor."""
    found = await asyncio.gather(*(client.get_or_create(Place, str(key)).call(Place.process) for key in keys))
    return dict(zip(keys, found, strict=True))


async def envoys(api: EngineApi) -> set[str]:
    return {envoy.envoy_key for envoy in await api.list_envoys("default")}


async def test_calls_go_on_after_a_worker_was_killed_and_it_comes_back(
    engine: RunningEngine, fresh_namespace: Fresh
) -> None:
    namespace = await fresh_namespace()
    async with (
        serving(engine, namespace),
        engine.api(namespace) as api,
        Client(engine.endpoint, namespace=namespace) as client,
    ):
        first = await places(client, range(6))
        victim = first[0]
        assert await client.get_or_create(Place, "0").call(Place.add) == 1
        before = await envoys(api)
        os.kill(victim, signal.SIGKILL)

        async def is_back() -> bool:
            return len(await envoys(api) - before) == 1

        await until(is_back)

        async def is_reached() -> bool:
            with contextlib.suppress(Exception):
                return await client.get_or_create(Place, "0").call(Place.process) != victim
            return False

        await until(is_reached)
        assert await client.get_or_create(Place, "0").call(Place.add) == 2


async def test_the_end_of_all_workers_is_clean_and_leaves_the_actors_asleep(
    engine: RunningEngine, fresh_namespace: Fresh
) -> None:
    namespace = await fresh_namespace()
    async with engine.api(namespace) as api, Client(engine.endpoint, namespace=namespace) as client:
        async with serving(engine, namespace) as first:
            await places(client, range(4))
            assert await client.get_or_create(Place, "0").call(Place.add) == 1
            assert await first.end() == 0
        actors = await api.list_actors("place")
        assert len(actors) == 4
        assert all(found.sleep_ts is not None and found.error is None for found in actors)
        assert await envoys(api) == set()
        async with serving(engine, namespace):
            assert await client.get_or_create(Place, "0").call(Place.add) == 2


async def test_a_single_worker_that_is_ended_hands_its_actors_over_and_restarts(
    engine: RunningEngine, fresh_namespace: Fresh
) -> None:
    namespace = await fresh_namespace()
    async with (
        serving(engine, namespace) as pool,
        engine.api(namespace) as api,
        Client(engine.endpoint, namespace=namespace) as client,
    ):
        first = await places(client, range(4))
        leaving = first[0]
        before = await envoys(api)
        os.kill(leaving, signal.SIGTERM)
        assert await client.get_or_create(Place, "0").call(Place.add) == 1

        async def has_moved() -> bool:
            return leaving not in (await places(client, range(4))).values()

        async def is_back() -> bool:
            now = await envoys(api)
            return len(now - before) == 1 and len(now) == 2

        await until(has_moved)
        await until(is_back)
        assert await pool.end() == 0


async def test_new_actors_land_on_the_highest_version(engine: RunningEngine, fresh_namespace: Fresh) -> None:
    namespace = await fresh_namespace()
    async with (
        serving(engine, namespace, "--version-number", "1") as old,
        Client(engine.endpoint, namespace=namespace) as client,
    ):
        before = client.get_or_create(Place, "before")
        assert await before.call(Place.version) == "1"
        async with serving(engine, namespace, "--version-number", "2"):
            for key in range(4):
                assert await client.get_or_create(Place, str(key)).call(Place.version) == "2"
            assert await before.call(Place.version) == "1"
            assert await old.end() == 0
            assert await before.call(Place.version) == "2"
