"""Our application inside somebody else's, and somebody else's beside ours."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator

import httpx
import pytest
from fastapi import FastAPI
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from rivetkit import Registry
from rivetkit_core.errors import StorageError
from rivetkit_core.host.embedded.gateway.app import GatewayApp
from rivetkit_core.host.web.asgi import AsgiApp, Message, Receive, Scope, Send
from rivetkit_core.host.web.server import Address, bind, serve
from rivetkit_core.testing import MemoryStore
from tests.unit.host.embedded.fakes import Note, new_host, open_host

_QUERY = "rvt-namespace=default&rvt-method=getOrCreate&rvt-runner=default&rvt-key=a"
_SUBPROTOCOLS = [Subprotocol("rivet"), Subprotocol("rivet_encoding.json")]


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
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        serving.cancel()
        await asyncio.wait([serving])


async def _exercise(address: str, mount: str) -> None:
    async with httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as http:
        written = await http.post(f"{mount}/gateway/note/action/write?{_QUERY}", json={"args": ["x"]})
        assert written.json() == {"output": "x"}
        actor_id = written.headers["x-rivet-actor"]
        direct = await http.post(f"{mount}/gateway/{actor_id}/action/read", json={})
        assert direct.json() == {"output": "x"}
        listed = await http.get(f"{mount}/actors?namespace=default&name=note")
        assert [actor["actor_id"] for actor in listed.json()["actors"]] == [actor_id]
        assert (await http.get(f"{mount}/metadata")).json()["actorNames"] == {"note": {"metadata": {}}}
        odd = await http.get(f"{mount}/gateway/a%2Fb/health")
        assert odd.json()["code"] == "not_found"
    url = f"ws://{address}{mount}/gateway/note/connect?{_QUERY}"
    async with connect(url, subprotocols=_SUBPROTOCOLS, proxy=None) as client:
        assert client.subprotocol == "rivet"
        assert json.loads(await client.recv())["body"]["val"]["actorId"] == actor_id
        request = {"id": 1, "name": "write", "args": ["live"]}
        await client.send(json.dumps({"body": {"tag": "ActionRequest", "val": request}}))
        assert json.loads(await client.recv())["body"]["val"]["output"] == "live"


@pytest.mark.parametrize("mount", ["/rivet", "/deeply/nested/api"])
async def test_it_works_mounted_in_fastapi(mount: str) -> None:
    async with open_host() as host:
        outer = FastAPI()
        outer.mount(mount, GatewayApp(host))
        async with _served(outer) as address:
            await _exercise(address, mount)


async def test_it_works_mounted_twice_over() -> None:
    async with open_host() as host:
        inner, outer = FastAPI(), FastAPI()
        inner.mount("/in", GatewayApp(host))
        outer.mount("/out", inner)
        async with _served(outer) as address:
            await _exercise(address, "/out/in")


async def test_the_outer_application_keeps_its_own_routes() -> None:
    async with open_host() as host:
        outer = FastAPI()

        async def hello() -> str:
            return "hello"

        outer.add_api_route("/hello", hello)
        outer.mount("/rivet", GatewayApp(host))
        async with _served(outer) as address, httpx.AsyncClient(trust_env=False) as http:
            assert (await http.get(f"http://{address}/hello")).json() == "hello"
            assert (await http.get(f"http://{address}/actors")).status_code == 404


async def test_an_application_beside_ours_gets_what_is_not_ours() -> None:
    async with open_host() as host:
        page = FastAPI()

        async def root() -> str:
            return "page"

        page.add_api_route("/", root)
        page.add_api_route("/gateways", root)
        async with _served(GatewayApp(host, fallback=page)) as address:
            await _exercise(address, "")
            async with httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as http:
                assert (await http.get("/")).json() == "page"
                assert (await http.get("/gateways")).json() == "page"
                assert (await http.get("/health")).json()["runtime"] == "rivetkit"


async def test_a_registry_works_mounted_in_fastapi() -> None:
    registry = Registry(Note, data_dir=":memory:")
    outer = FastAPI(lifespan=registry.lifespan)
    outer.mount("/rivet", registry.asgi())
    lifespan = _Lifespan(outer)
    assert (await lifespan.step("startup"))["type"] == "lifespan.startup.complete"
    async with _served(outer) as address:
        await _exercise(address, "/rivet")
    assert (await lifespan.step("shutdown"))["type"] == "lifespan.shutdown.complete"
    await lifespan.end()


# --- lifespan -----------------------------------------------------------------------------------------


class _Lifespan:
    """The server's side of the lifespan protocol."""

    def __init__(self, app: AsgiApp) -> None:
        self._incoming: asyncio.Queue[Message] = asyncio.Queue()
        self._outgoing: asyncio.Queue[Message] = asyncio.Queue()
        scope: Scope = {"type": "lifespan", "app": app, "state": {}}
        receive: Receive = self._incoming.get
        send: Send = self._outgoing.put
        self._running = asyncio.ensure_future(app(scope, receive, send))

    async def step(self, kind: str) -> Message:
        await self._incoming.put({"type": f"lifespan.{kind}"})
        return await self._outgoing.get()

    async def end(self) -> None:
        await self._running


async def test_the_lifespan_opens_and_closes_the_host() -> None:
    host = new_host()
    lifespan = _Lifespan(GatewayApp(host))
    assert await lifespan.step("startup") == {"type": "lifespan.startup.complete"}
    assert host.is_open
    assert await lifespan.step("shutdown") == {"type": "lifespan.shutdown.complete"}
    assert not host.is_open
    await lifespan.end()


class _LockedStore(MemoryStore):
    async def open(self) -> None:
        raise StorageError("storage", "locked", "somebody else uses it")


async def test_a_host_that_cannot_open_fails_the_startup() -> None:
    lifespan = _Lifespan(GatewayApp(new_host(_LockedStore())))
    message = await lifespan.step("startup")
    assert message["type"] == "lifespan.startup.failed"
    assert "somebody else uses it" in message["message"]
    await lifespan.end()


async def test_unsaved_state_fails_the_shutdown() -> None:
    store = MemoryStore()
    host = new_host(store)
    app = GatewayApp(host)
    lifespan = _Lifespan(app)
    await lifespan.step("startup")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
        await http.post(f"/gateway/note/action/read?{_QUERY}", json={})
        for _ in range(2):
            store.fail_next(StorageError("storage", "unavailable", "full"))
        answer = await http.post(f"/gateway/note/action/write?{_QUERY}", json={"args": ["x"]})
        assert answer.status_code == 503
    message = await lifespan.step("shutdown")
    assert message["type"] == "lifespan.shutdown.failed"
    await lifespan.end()


async def test_an_unknown_kind_of_scope_is_refused() -> None:
    async def nothing() -> Message:
        return {}

    async def nowhere(_message: Message) -> None: ...

    with pytest.raises(RuntimeError, match="unsupported ASGI scope"):
        await GatewayApp(new_host())({"type": "smtp"}, nothing, nowhere)
