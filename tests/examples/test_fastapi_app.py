from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from examples.fastapi_app.app import Cart, app
from rivetkit import Client
from tests.examples.program import ROOT, Program


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
async def shop() -> AsyncIterator[httpx.AsyncClient]:
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client,
    ):
        yield client


async def test_the_routes_of_the_application_call_actors(shop: httpx.AsyncClient) -> None:
    await shop.post("/carts/ada/items/tea")
    added = await shop.post("/carts/ada/items/tea", params={"quantity": 2})
    assert added.json() == {"tea": 3}
    assert (await shop.get("/carts/ada")).json() == {"tea": 3}
    assert (await shop.get("/carts/bob")).json() == {}


async def test_carts_outlive_the_application() -> None:
    for expected in (1, 2):
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client,
        ):
            assert (await client.post("/carts/ada/items/tea")).json() == {"tea": expected}


async def test_clients_reach_the_actors_of_a_served_application(tmp_path: Path) -> None:
    uvicorn = ("-m", "uvicorn", "examples.fastapi_app.app:app", "--port", "0")
    async with Program(*uvicorn, cwd=tmp_path) as server:
        url = await server.serving()
        async with Client(f"{url}/rivet") as client, httpx.AsyncClient(base_url=url) as browser:
            cart = client.get_or_create(Cart, "ada")
            assert await cart.call(Cart.add, "tea") == {"tea": 1}
            async with cart.connect() as live:
                assert await live.call(Cart.add, "milk", quantity=2) == {"tea": 1, "milk": 2}
            assert (await browser.get("/carts/ada")).json() == {"tea": 1, "milk": 2}
        assert await server.stop() == 0
