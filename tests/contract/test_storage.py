"""The stores of an actor, as its own code sees them, on every host."""

from __future__ import annotations

import pytest

from tests.contract.client import RawClient, by_key
from tests.contract.serving import Serving

STORES = by_key("stores", "a")


@pytest.mark.parametrize("name", ["stores", "strictStores"])
async def test_what_an_actor_stored_survives_a_restart(host: Serving, name: str) -> None:
    target = by_key(name, "a")
    await host.client.call(target, "kv_put", {"a": b"1", "b": b"2"})
    await host.client.call(target, "sql", "INSERT INTO notes (text) VALUES (?)", ["hello"])
    await host.restart()
    assert await host.client.call(target, "kv_list") == [["a", b"1"], ["b", b"2"]]
    assert await host.client.call(target, "sql", "SELECT text, stars FROM notes") == [
        {"text": "hello", "stars": 0}
    ]
