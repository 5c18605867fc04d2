"""Stores as they should be used; nothing here may be an error."""

from __future__ import annotations

from typing import Any, ClassVar, assert_type

import sqlalchemy as sa
from app import Counter, Member
from pydantic import BaseModel

from rivetkit import Result, Row, Transaction, migrate_state


async def stores(live: Counter) -> None:
    kv, db = live.ctx.kv, live.ctx.db
    assert_type(await kv.get("a"), str | None)
    assert_type(await kv.get(b"a", type="bytes"), bytes | None)
    assert_type(await kv.get_batch(["a", "b"]), list[str | None])
    assert_type(await kv.list("a"), list[tuple[str, str]])
    assert_type(await kv.list("a", type="bytes", key_type="bytes"), list[tuple[bytes, bytes]])
    assert_type(await kv.list_range("a", type="json", reverse=True, limit=3), list[tuple[str, Any]])
    await kv.put_batch({"a": "text", "b": b"bytes", "c": {"json": [1, None]}})
    await kv.delete_batch(["a", b"b"])
    assert_type(await db.fetch_all("SELECT ?", [1]), list[Row])
    assert_type(await db.fetch_all("SELECT :a", {"a": 1}, into=Member), list[Member])
    assert_type(await db.fetch_one("SELECT 1", into=int), int | None)
    assert_type((await db.execute("DELETE FROM t")).changes, int)
    assert_type(await db.execute_batch(["DELETE FROM t", ("SELECT ?", [1])]), list[Result])
    async with db.transaction(timeout=1.0) as tx:
        assert_type(tx, Transaction)
        assert_type(await tx.fetch_one("SELECT 1"), Row | None)
    assert_type(await db.migrate(["CREATE TABLE t (a)", step]), int)


async def expressions(live: Counter, table: sa.Table) -> None:
    db = live.ctx.db
    assert_type(await db.fetch_all(sa.select(table), into=Member), list[Member])
    assert_type(await db.execute(sa.insert(table).values(a=1)), Result)
    await db.execute(sa.text("SELECT :a").bindparams(a=1))
    await db.execute(sa.schema.CreateTable(table))
    await db.execute_batch([sa.update(table).values(a=1), sa.delete(table)])


async def step(tx: Transaction) -> None:
    await tx.script("DELETE FROM t")


class Versioned(BaseModel):
    state_version: ClassVar[int] = 2

    @migrate_state(1)
    @staticmethod
    def first(state: dict[str, int]) -> dict[str, int]:
        return state


assert_type(Versioned.first({"a": 1}), dict[str, int])
