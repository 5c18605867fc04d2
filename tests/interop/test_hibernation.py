"""The unmodified TypeScript client stays connected while our actors sleep (client-protocol 4.6)."""

from __future__ import annotations

from typing import cast

import pytest

from tests.interop.driver import TypescriptClient, TypescriptConnection

pytestmark = pytest.mark.interop


async def greeted(connection: TypescriptConnection) -> list[object]:
    return cast("list[object]", await connection.call("greet"))


async def test_a_live_connection_survives_sleep(client: TypescriptClient, fresh: str) -> None:
    connection = await client.get_or_create("parlour", fresh).connect()
    await connection.on("news")
    life, id, calls, arrivals = await greeted(connection)
    assert (life, calls, arrivals) == (1, 1, 1)
    for following in (2, 3):
        await connection.call("nap")
        assert await greeted(connection) == [following, id, following, 1]
        assert await connection.status() == "connected"
        await connection.call("tell", {"life": following})
        event = await connection.next_event()
        assert event.args == ({"life": following},)
    await connection.dispose()
