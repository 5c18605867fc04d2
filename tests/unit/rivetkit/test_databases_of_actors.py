"""Rows, types and statements of the typed database, and the typed values of the key-value store."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, cast

import pytest
import sqlalchemy as sa
from pydantic import BaseModel
from typing_extensions import TypedDict

from rivetkit import Actor, Context, RivetError, Row, ValidationError, action
from rivetkit._compiler import compile_actor
from rivetkit_core.entropy import SeededEntropy
from rivetkit_core.host.embedded.host import EmbeddedHost
from rivetkit_core.host.port import ByKey
from rivetkit_core.testing import FakeClock, MemoryStore

METADATA = sa.MetaData()
NOTES = sa.Table(
    "notes",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("text", sa.String, nullable=False),
    sa.Column("day", sa.Date),
    sa.Column("done", sa.Boolean, nullable=False, default=False),
)


class Note(BaseModel):
    id: int
    text: str
    day: date | None
    done: bool


class Pair(TypedDict):
    a: int
    b: str


class Keeper(Actor):
    @action
    async def ping(self) -> None:
        kept.append(self.ctx)


kept: list[Context] = []


@asynccontextmanager
async def inside() -> AsyncGenerator[Context]:
    """The context of a running actor."""
    host = EmbeddedHost(
        [compile_actor(Keeper)], store=MemoryStore(), clock=FakeClock(), entropy=SeededEntropy(1)
    )
    await host.open()
    try:
        await host.access.call(ByKey("keeper", ("a",), create=True), "ping", b"\x80", params=None)
        yield kept.pop()
    finally:
        await host.close()


async def test_a_row_is_read_by_position_and_by_name() -> None:
    async with inside() as ctx:
        row = await ctx.db.fetch_one("SELECT 1 AS a, 'x' AS b")
        assert row is not None
        assert (row[0], row["b"], row[-1], row[0:1], len(row)) == (1, "x", "x", (1,), 2)
        number, text = row
        assert (number, text, row.asdict(), repr(row)) == (1, "x", {"a": 1, "b": "x"}, "Row(a=1, b='x')")
        with pytest.raises(KeyError):
            row["c"]


def test_rows_are_equal_to_what_they_hold() -> None:
    row = Row({"a": 0}, (1,))
    assert row == (1,)
    assert row == Row({"a": 0}, (1,))
    assert row != Row({"b": 0}, (1,))
    assert hash(row) == hash((1,))


async def test_rows_become_what_they_are_read_as() -> None:
    async with inside() as ctx:
        select = "SELECT 1 AS a, 'x' AS b"
        assert await ctx.db.fetch_all(select, into=Pair) == [{"a": 1, "b": "x"}]
        assert await ctx.db.fetch_one("SELECT 2", into=int) == 2
        assert await ctx.db.fetch_one("SELECT '2026-01-02'", into=date) == date(2026, 1, 2)
        assert await ctx.db.fetch_all("SELECT 1 AS a, 'x' AS b", into=dict[str, object]) == [
            {"a": 1, "b": "x"}
        ]
        assert await ctx.db.fetch_one("SELECT 2 WHERE 0", into=int) is None
        with pytest.raises(ValidationError, match="rows as Note"):
            await ctx.db.fetch_all(select, into=Note)


async def test_statements_of_sqlalchemy_bring_their_parameters() -> None:
    async with inside() as ctx:
        db = ctx.db
        await db.execute(sa.schema.CreateTable(NOTES))
        inserted = await db.execute(sa.insert(NOTES).values(text="it's", day=date(2026, 1, 2), done=True))
        assert (inserted.changes, inserted.last_insert_id) == (1, 1)
        await db.execute_batch([sa.insert(NOTES).values(text="b", done=False), sa.text("SELECT 1")])
        chosen = sa.select(NOTES).where(NOTES.c.id.in_([1, 2, 3]), NOTES.c.text != "b")
        assert await db.fetch_all(chosen, into=Note) == [
            Note(id=1, text="it's", day=date(2026, 1, 2), done=True)
        ]
        text = sa.text("SELECT count(*) FROM notes WHERE done = :done").bindparams(done=True)
        assert await db.fetch_one(text, into=int) == 1
        async with db.transaction() as tx:
            await tx.execute(sa.update(NOTES).values(text=NOTES.c.text + "!"))
            await tx.execute(sa.delete(NOTES).where(NOTES.c.id == 2))
        assert await db.fetch_all(sa.select(NOTES.c.text), into=str) == ["it's!"]


async def test_what_is_no_statement_is_refused() -> None:
    async with inside() as ctx:
        with pytest.raises(TypeError, match="not int"):
            await ctx.db.execute(1)  # pyright: ignore[reportArgumentType]  # the point of the test
        with pytest.raises(TypeError, match="brings its parameters along"):
            await ctx.db.execute(sa.text("SELECT 1"), [1])


async def test_values_are_written_by_their_own_type() -> None:
    async with inside() as ctx:
        kv = ctx.kv
        await kv.put("model", Note(id=1, text="a", day=date(2026, 1, 2), done=False))
        assert await kv.get("model") == '{"id":1,"text":"a","day":"2026-01-02","done":false}'
        await kv.put("more", [datetime(2026, 1, 2, tzinfo=UTC), Decimal("1.5"), None, True])
        assert await kv.get("more", type="json") == ["2026-01-02T00:00:00Z", "1.5", None, True]
        await kv.put_json("text", "a")
        assert (await kv.get("text"), await kv.get("text", type="json")) == ('"a"', "a")
        await kv.put(b"view", memoryview(b"\x01"))
        assert await kv.get("view", type="bytes") == b"\x01"


async def test_a_value_that_cannot_be_written_or_read_names_its_key() -> None:
    async with inside() as ctx:
        with pytest.raises(RivetError, match=r"kv\.invalid_value: .*'a'.* json"):
            await ctx.kv.put("a", object())
        with pytest.raises(RivetError, match=r"kv\.invalid_value: .* text"):
            await ctx.kv.put("a", "\ud800")
        with pytest.raises(RivetError, match=r"kv\.invalid_key"):
            await ctx.kv.get("\ud800")
        await ctx.kv.put(b"\xff", "x")
        with pytest.raises(RivetError, match=r"kv\.invalid_key: .*not UTF-8"):
            await ctx.kv.list()
        with pytest.raises(RivetError, match=r"kv\.invalid_value: .* json"):
            await ctx.kv.get(b"\xff", type="json")


@pytest.mark.parametrize("params", ["text", b"bytes", 5, None, {1}])
async def test_parameters_that_are_no_list_are_explained_without_showing_them(params: object) -> None:
    async with inside() as ctx:
        with pytest.raises(RivetError, match=r"as in \[value\], not (str|bytes|int|NoneType|set)$"):
            await ctx.db.execute("SELECT ?", cast("Any", params))


async def test_a_number_of_parameters_that_is_wrong_is_told() -> None:
    async with inside() as ctx:
        with pytest.raises(RivetError, match="has 2 of them, and 1 were given"):
            await ctx.db.execute("SELECT ?, ?", [1])


async def test_a_single_statement_is_no_batch_and_no_ladder() -> None:
    async with inside() as ctx:
        with pytest.raises(TypeError, match="execute_batch takes a list, not str"):
            await ctx.db.execute_batch("SELECT 1")
        with pytest.raises(TypeError, match="migrate takes a list, not str"):
            await ctx.db.migrate("CREATE TABLE notes (text)")


@pytest.mark.parametrize("step", [1, id])
async def test_a_migration_that_cannot_be_awaited_is_explained(step: object) -> None:
    async with inside() as ctx:
        with pytest.raises(TypeError, match="a script or an `async def`"):
            await ctx.db.migrate([cast("Any", step)])


async def test_keys_and_types_that_are_none_are_refused() -> None:
    async with inside() as ctx:
        with pytest.raises(RivetError, match="a key is text or bytes, not int"):
            await ctx.kv.put(cast("Any", 5), "x")
        with pytest.raises(RivetError, match="several keys are a list"):
            await ctx.kv.get_batch("abc")
        with pytest.raises(TypeError, match="a mapping of keys to values, not list"):
            await ctx.kv.put_batch(cast("Any", [("a", "b")]))
        with pytest.raises(ValueError, match="type is 'text', 'bytes' or 'json', not 'str'"):
            await ctx.kv.get("missing", type=cast("Any", "str"))


async def test_work_that_was_not_called_is_refused() -> None:
    async with inside() as ctx:
        with pytest.raises(TypeError, match=r"call it, as in work\(\)"):
            ctx.wait_until(cast("Any", inside))
