"""Stores as they must not be used; every marked line is an error."""

from __future__ import annotations

from app import Counter

from rivetkit import Transaction, migrate_state


async def bad_stores(live: Counter, tx: Transaction) -> None:
    await live.ctx.kv.get(1)  # E: a key is text or bytes
    await live.ctx.kv.get("a", type="object")  # E: unknown kind of value
    text: str = await live.ctx.kv.get("a")  # E: there may be no value
    await live.ctx.kv.list("a", key_type="json")  # E: keys are text or bytes
    await live.ctx.db.execute(1)  # E: a statement is text or an expression
    await live.ctx.db.execute("SELECT ?", 1)  # E: parameters are a list or a mapping
    await live.ctx.db.execute_batch("SELECT 1, ?", [1])  # E: a batch is one list
    await live.ctx.db.migrate([lambda: None])  # E: a migration gets its transaction
    wrong: int = await tx.fetch_one("SELECT 1", into=int)  # E: there may be no row
    await tx.commit()  # E: a transaction ends with its block
    print(text, wrong)


class BadVersions:
    @migrate_state("1")  # E: a version is a number
    @staticmethod
    def first(state: dict[str, int]) -> dict[str, int]:
        return state
