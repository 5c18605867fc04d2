"""An engine that calls a program when an actor is to start, and the program."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from rivetkit import Actor, Registry, action, actor
from rivetkit.client import Client
from rivetkit_core.clock import SystemClock
from rivetkit_core.host.engine.resources import ServerlessPool
from rivetkit_core.host.web.asgi import AsgiApp
from rivetkit_core.host.web.server import Address, bind, serve
from tests.engines import RunningEngine

pytestmark = pytest.mark.engine

Fresh = Callable[[], Awaitable[str]]


class NoteState(BaseModel):
    text: str = ""


@actor(name="note")
class Note(Actor):
    state: NoteState

    @action
    async def write(self, text: str) -> str:
        self.state.text = text
        return text

    @action
    async def read(self) -> str:
        return self.state.text

    @action
    async def generation(self) -> int:
        return self.ctx.generation


@contextlib.asynccontextmanager
async def _served(app: AsgiApp) -> AsyncGenerator[str]:
    listener = bind(Address(port=0))
    ready = asyncio.Event()

    async def finish() -> None: ...

    serving = asyncio.create_task(
        serve(app, listener, finish=finish, handle_signals=False, on_ready=ready.set)
    )
    await ready.wait()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        serving.cancel()
        await asyncio.wait([serving])


@contextlib.asynccontextmanager
async def _pool(
    engine: RunningEngine, namespace: str, *, lifespan: int = 900, grace: int = 5
) -> AsyncGenerator[Client]:
    """A program mounted in FastAPI, and a pool of the engine that calls it."""
    registry = Registry(Note, engine=engine.endpoint)
    outer = FastAPI()
    outer.mount("/deep/api", registry.asgi(mode="serverless"))
    async with _served(outer) as url, registry.lifespan(), engine.api(namespace) as api:
        config = ServerlessPool(url=f"{url}/deep/api", request_lifespan=lifespan, drain_grace_period=grace)
        await api.upsert_runner_config("default", config)
        await api.wait_for_pool("default", timeout=20)
        async with Client(engine.endpoint, namespace=namespace) as client:
            yield client


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    clock = SystemClock()
    async with asyncio.timeout(30):
        while not await condition():
            await clock.sleep(0.1)


async def test_an_actor_is_made_called_and_woken(engine: RunningEngine, fresh_namespace: Fresh) -> None:
    namespace = await fresh_namespace()
    async with _pool(engine, namespace) as client, engine.api(namespace) as api:
        note = client.get_or_create(Note, "a")
        assert await note.call(Note.write, "kept") == "kept"
        first = await note.call(Note.generation)
        (found,) = await api.list_actors("note")
        await api.sleep_actor(found.actor_id)

        async def asleep() -> bool:
            return (await api.get_actor(found.actor_id)).sleep_ts is not None

        await _until(asleep)
        assert await note.call(Note.read) == "kept"
        assert await note.call(Note.generation) == first + 1


async def test_an_actor_outlives_the_request_that_started_it(
    engine: RunningEngine, fresh_namespace: Fresh
) -> None:
    async with _pool(engine, await fresh_namespace(), lifespan=6, grace=3) as client:
        note = client.get_or_create(Note, "a")
        await note.call(Note.write, "kept")
        first = await note.call(Note.generation)

        async def moved() -> bool:
            return await note.call(Note.generation) >= first + 2

        await _until(moved)
        assert await note.call(Note.read) == "kept"


async def test_the_engine_finds_the_program_healthy(engine: RunningEngine, fresh_namespace: Fresh) -> None:
    namespace = await fresh_namespace()
    async with _pool(engine, namespace) as client:
        await client.get_or_create(Note, "a").call(Note.write, "x")
        async with engine.api(namespace) as api:
            (status,) = await api.runner_config("default")
            assert len(await api.list_envoys("default")) == 1
    assert status.serverless
    assert status.error is None


async def test_a_program_that_ends_leaves_its_actors_asleep(
    engine: RunningEngine, fresh_namespace: Fresh
) -> None:
    namespace = await fresh_namespace()
    async with _pool(engine, namespace) as client:
        await client.get_or_create(Note, "a").call(Note.write, "kept")
    async with engine.api(namespace) as api:
        (note,) = await api.list_actors("note")
        assert note.sleep_ts is not None
        assert note.error is None
    async with _pool(engine, namespace) as client:
        assert await client.get_or_create(Note, "a").call(Note.read) == "kept"


async def test_a_start_of_another_engine_is_refused(engine: RunningEngine, fresh_namespace: Fresh) -> None:
    registry = Registry(Note, engine=engine.endpoint)
    headers = {
        "x-rivet-endpoint": "http://127.0.0.1:9",
        "x-rivet-namespace-name": "default",
        "x-rivet-pool-name": "default",
    }
    async with (
        _served(registry.asgi(mode="serverless")) as url,
        registry.lifespan(),
        httpx.AsyncClient(trust_env=False) as http,
    ):
        answer = await http.post(f"{url}/start", headers=headers, content=b"")
    assert answer.status_code == 400
    assert answer.json()["code"] == "endpoint_mismatch"
