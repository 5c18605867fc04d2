"""A disk that is full, and has room again."""

from __future__ import annotations

import base64
from pathlib import Path

import httpx

from rivetkit_core.host.embedded.gateway.app import GatewayApp
from rivetkit_core.wire import cbor
from tests.unit.host.embedded.fakes import open_host, sqlite

_ANY_KEY = "rvt-namespace=default&rvt-method=getOrCreate&rvt-runner=default&rvt-key="
_LONG = "x" * 60_000


async def _call(http: httpx.AsyncClient, key: str, action: str, *args: object) -> httpx.Response:
    return await http.post(f"/gateway/note/action/{action}?{_ANY_KEY}{key}", json={"args": list(args)})


async def test_a_strict_actor_keeps_in_memory_what_it_could_not_store(tmp_path: Path) -> None:
    store = sqlite(tmp_path)
    async with (
        open_host(store) as host,
        httpx.AsyncClient(transport=httpx.ASGITransport(GatewayApp(host)), base_url="http://test") as http,
    ):
        assert (await _call(http, "a", "write", "first")).status_code == 200
        await store.limit_size(1)
        refused = await _call(http, "a", "write", _LONG)
        assert (refused.status_code, refused.json()["group"], refused.json()["code"]) == (
            503, "storage", "unavailable",
        )  # fmt: skip
        assert refused.headers["x-rivet-actor"]
        await store.limit_size(None)
        assert (await _call(http, "a", "read")).json() == {"output": _LONG}
    async with (
        open_host(sqlite(tmp_path)) as host,
        httpx.AsyncClient(transport=httpx.ASGITransport(GatewayApp(host)), base_url="http://test") as http,
    ):
        assert (await _call(http, "a", "read")).json() == {"output": _LONG}


async def test_an_actor_that_cannot_be_created_leaves_nothing_behind(tmp_path: Path) -> None:
    store = sqlite(tmp_path)
    async with (
        open_host(store) as host,
        httpx.AsyncClient(transport=httpx.ASGITransport(GatewayApp(host)), base_url="http://test") as http,
    ):
        await _call(http, "a", "write", "first")
        await store.limit_size(1)
        big = "x" * 100_000
        body = {
            "name": "note",
            "key": "b",
            "runner_name_selector": "default",
            "input": base64.b64encode(cbor.encode(big)).decode(),
        }
        refused = await http.post("/actors?namespace=default", json=body)
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
        await store.limit_size(None)
        listed = await http.get("/actors?namespace=default&name=note&key=b")
        assert listed.json()["actors"] == []


async def test_a_shutdown_counts_the_actors_it_could_not_save(tmp_path: Path) -> None:
    store = sqlite(tmp_path)
    async with open_host(store) as host:
        transport = httpx.ASGITransport(GatewayApp(host))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            await _call(http, "a", "write", "first")
            await _call(http, "b", "write", "first")
            await store.limit_size(1)
            await _call(http, "a", "write", _LONG)
        assert await host.close() == 1
