"""The key-value store of an actor, as its own code sees it, on every host."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from rivetkit import Context, RivetError
from tests.contract.client import RawClient, Target, by_key, error_of
from tests.contract.hosts import also_in_tables
from tests.contract.programs import STORES, STRICT, inside
from tests.contract.serving import Serving
from tests.contract.storage_actors import given


@pytest.fixture(autouse=True)
def afresh() -> None:
    given.unreadable, given.readings, given.asleep = False, 0, asyncio.Event()


pytestmark = also_in_tables

both = pytest.mark.parametrize("target", [STORES, STRICT], ids=["throttled", "strict"])


@both
async def test_what_an_actor_stored_survives_a_restart(host: Serving, target: Target) -> None:
    async def store(ctx: Context) -> None:
        await ctx.kv.put("a", "1")
        await ctx.db.script("CREATE TABLE notes (text); INSERT INTO notes VALUES ('hello')")

    async def look(ctx: Context) -> None:
        assert await ctx.kv.list() == [("a", "1")]
        assert await ctx.db.fetch_all("SELECT * FROM notes") == [("hello",)]

    await inside(host.client, store, target)
    await host.restart()
    await inside(host.client, look, target)


@both
async def test_values_are_text_bytes_or_json(client: RawClient, target: Target) -> None:
    async def program(ctx: Context) -> None:
        await ctx.kv.put_batch({"text": "häh", "bytes": b"\xff\x00", "json": {"a": [1, None]}, "": ""})
        assert await ctx.kv.get("text") == "häh"
        assert await ctx.kv.get("bytes", type="bytes") == b"\xff\x00"
        assert await ctx.kv.get("json", type="json") == {"a": [1, None]}
        assert await ctx.kv.get_batch(["", "missing", "text", ""]) == ["", None, "häh", ""]
        with pytest.raises(RivetError, match=r"kv\.invalid_value"):
            await ctx.kv.get("bytes")

    await inside(client, program, target)


@both
async def test_listings_follow_the_bytes_of_the_keys(client: RawClient, target: Target) -> None:
    keys = [b"", b"\x00", b"a", b"a\x00", b"ab", b"a\xff", b"a\xff\xff", b"b", b"\xff", b"\xff\xff"]

    async def program(ctx: Context) -> None:
        await ctx.kv.put_batch({key: b"v" + key for key in reversed(keys)})

        async def listed(prefix: bytes, *, reverse: bool = False, limit: int | None = None) -> list[bytes]:
            found = await ctx.kv.list(prefix, type="bytes", key_type="bytes", reverse=reverse, limit=limit)
            assert all(value == b"v" + key for key, value in found)
            return [key for key, _ in found]

        assert await listed(b"") == keys
        assert await listed(b"a") == keys[2:7]
        assert await listed(b"a\xff") == keys[5:7]
        assert await listed(b"\xff") == keys[8:]
        assert await listed(b"a", reverse=True, limit=2) == keys[6:4:-1]
        assert await listed(b"", limit=0) == []
        found = await ctx.kv.list_range(b"ab", b"b", type="bytes", key_type="bytes")
        assert [key for key, _ in found] == keys[4:7]
        await ctx.kv.delete_range(b"a", b"b")
        assert await listed(b"") == [*keys[:2], *keys[7:]]
        await ctx.kv.delete_range(b"b")
        assert await listed(b"") == keys[:2]

    await inside(client, program, target)


@both
async def test_a_deleted_key_is_gone(client: RawClient, target: Target) -> None:
    async def program(ctx: Context) -> None:
        await ctx.kv.put_batch({"a": "1", "b": "2", "c": "3"})
        await ctx.kv.delete("a")
        await ctx.kv.delete_batch(["b", "missing"])
        assert await ctx.kv.get_batch(["a", "b", "c"]) == [None, None, "3"]
        assert await ctx.kv.list() == [("c", "3")]
        await ctx.kv.put("a", "4")
        assert await ctx.kv.get("a") == "4"

    await inside(client, program, target)


@both
async def test_the_largest_of_everything_fits(client: RawClient, target: Target) -> None:
    async def program(ctx: Context) -> None:
        await ctx.kv.put("k" * 2045, b"\xff" * 131_072)
        await ctx.kv.put(b"\x00" * 1022, "")
        await ctx.kv.put_batch({f"{number:03}": b"\xff\xff\x01" for number in range(128)})
        await ctx.kv.put_batch({f"large {number}": b"x" * 131_072 for number in range(7)})
        assert await ctx.kv.get("k" * 2045, type="bytes") == b"\xff" * 131_072
        assert await ctx.kv.get("127", type="bytes") == b"\xff\xff\x01"
        assert len(await ctx.kv.list(type="bytes")) == 137

    await inside(client, program, target)


async def test_what_is_too_large_is_refused_before_anything_is_written(client: RawClient) -> None:
    async def program(ctx: Context) -> None:
        with pytest.raises(RivetError, match=r"kv\.key_too_large") as refused:
            await ctx.kv.put_batch({"fits": "1", "k" * 2046: "2"})
        assert refused.value.metadata == {"size": 2049, "limit": 2048}
        with pytest.raises(RivetError, match=r"kv\.key_too_large"):
            await ctx.kv.get(b"\x00" * 1023, type="bytes")
        with pytest.raises(RivetError, match=r"kv\.value_too_large"):
            await ctx.kv.put_batch({"fits": "1", "large": b"x" * 131_073})
        with pytest.raises(RivetError, match=r"kv\.batch_too_large"):
            await ctx.kv.put_batch({f"{number}": b"x" * 131_072 for number in range(8)})
        with pytest.raises(RivetError, match=r"kv\.too_many_keys"):
            await ctx.kv.put_batch({f"{number}": "" for number in range(129)})
        with pytest.raises(RivetError, match=r"kv\.too_many_keys"):
            await ctx.kv.get_batch(["a"] * 129)
        assert await ctx.kv.list() == []

    await inside(client, program)


async def test_everything_a_strict_action_did_survives_a_restart(host: Serving) -> None:
    async def everything(ctx: Context) -> None:
        await ctx.kv.put("a", "1")
        await ctx.db.execute("CREATE TABLE notes (text)")
        async with ctx.db.transaction() as tx:
            await tx.execute("INSERT INTO notes VALUES ('hello')")
        await ctx.schedule.after_by_name(3600.0, "count")
        assert await ctx.kv.list() == [("a", "1")]
        assert await ctx.db.fetch_all("SELECT * FROM notes") == [("hello",)]
        assert len(ctx.schedule.list()) == 1

    async def look(ctx: Context) -> None:
        assert await ctx.kv.list() == [("a", "1")]
        assert await ctx.db.fetch_all("SELECT * FROM notes") == [("hello",)]
        assert len(ctx.schedule.list()) == 1

    await host.client.call(STRICT, "send", "letter")
    await inside(host.client, everything, STRICT, "run_counting")
    await host.restart()
    await inside(host.client, look, STRICT)
    assert await host.client.call(STRICT, "count") == 1
    assert await host.client.call(STRICT, "receive") == "letter"


async def test_what_a_failed_strict_action_did_is_kept(host: Serving) -> None:
    async def fail(ctx: Context) -> None:
        await ctx.kv.put("a", "1")
        await ctx.db.script("CREATE TABLE notes (text); INSERT INTO notes VALUES ('hello')")
        raise KeyError

    async def look(ctx: Context) -> None:
        assert await ctx.kv.list() == [("a", "1")]
        assert await ctx.db.fetch_all("SELECT * FROM notes") == [("hello",)]

    with pytest.raises(KeyError):
        await inside(host.client, fail, STRICT, "run_counting")
    await host.restart()
    await inside(host.client, look, STRICT)
    assert await host.client.call(STRICT, "count") == 1


async def test_nothing_leaves_a_transaction_of_strict_code(client: RawClient) -> None:
    async def program(ctx: Context) -> None:
        with pytest.raises(RivetError, match=r"sqlite\.transaction_open"):
            async with ctx.db.transaction():
                await ctx.save_state()

    await inside(client, program, STRICT)


async def test_strict_code_deletes_a_range_with_everything_else(client: RawClient) -> None:
    async def program(ctx: Context) -> None:
        await ctx.kv.put_batch({f"k{number}": "x" for number in range(6)})
        await ctx.kv.delete_range("k2", "k4")
        await ctx.kv.delete("k0")
        assert await ctx.kv.list("k", limit=2, key_type="text") == [("k1", "x"), ("k4", "x")]
        assert await ctx.kv.list("k", reverse=True, limit=1) == [("k5", "x")]

    await inside(client, program, STRICT)
    await inside(client, _still_the_same, STRICT)


async def _still_the_same(ctx: Context) -> None:
    assert [key for key, _ in await ctx.kv.list()] == ["k1", "k4", "k5"]


async def test_a_state_that_cannot_be_read_is_an_error_and_left_alone(client: RawClient) -> None:
    fragile = by_key("fragile", "a")
    await client.call(fragile, "set_and_nap", 7)
    await given.asleep.wait()
    given.unreadable = True
    failed = await client.post(fragile, "value")
    while failed.status_code == 200:  # the generation before answers on its way to sleep
        failed = await client.post(fragile, "value")
    assert (failed.status_code, error_of(failed)) == (400, "actor.validation_error")
    assert given.readings <= 3
    given.unreadable = False
    answer = await client.post(fragile, "value")
    while answer.status_code != 200:  # the generation that could not start answers a little longer
        answer = await client.post(fragile, "value")
    assert await client.call(fragile, "value") == 7


async def test_the_database_can_be_used_wherever_code_runs(client: RawClient) -> None:
    diarist = by_key("diarist", "a")
    await client.call(diarist, "plan_and_nap")
    entries: list[str] = []
    while len(entries) < 2:
        entries = cast("list[str]", await client.call(diarist, "read"))
    assert sorted(entries) == ["asleep", "scheduled"]
    async with client.connect(diarist, params="remember me") as socket:
        await socket.init()
    while "disconnected" not in entries:
        entries = cast("list[str]", await client.call(diarist, "read"))
    given.asleep.clear()
    await client.call(diarist, "bye")
    await given.asleep.wait()
    assert given.last_words[-1] == "destroyed"
