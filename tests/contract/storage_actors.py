"""Actors of the contract suite that use the storage of their own."""

from __future__ import annotations

from collections.abc import Sequence

from rivetkit import Actor, RivetError, action, actor


class Stores(Actor):
    """Does what a test asks with its stores, and answers with codes where they refuse."""

    async def on_migrate(self, is_new: bool) -> None:
        await self.ctx.db.migrate(
            [
                "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE)",
                "ALTER TABLE notes ADD COLUMN stars INTEGER NOT NULL DEFAULT 0",
            ]
        )

    @action
    async def kv_put(self, entries: dict[str, bytes]) -> None:
        await self.ctx.kv.put_batch(entries)

    @action
    async def kv_get(self, keys: list[str]) -> list[bytes | None]:
        return await self.ctx.kv.get_batch(keys, type="bytes")

    @action
    async def kv_list(
        self, prefix: str = "", reverse: bool = False, limit: int | None = None
    ) -> list[tuple[str, bytes]]:
        return await self.ctx.kv.list(prefix, type="bytes", reverse=reverse, limit=limit)

    @action
    async def kv_range(self, start: str, end: str | None = None) -> list[tuple[str, bytes]]:
        return await self.ctx.kv.list_range(start, end, type="bytes")

    @action
    async def kv_delete(self, keys: list[str]) -> None:
        await self.ctx.kv.delete_batch(keys)

    @action
    async def kv_delete_range(self, start: str, end: str | None = None) -> None:
        await self.ctx.kv.delete_range(start, end)

    @action
    async def sql(self, sql: str, params: list[object] | dict[str, object] | None = None) -> object:
        try:
            result = await self.ctx.db.execute(sql, params or ())
        except RivetError as failure:
            return f"{failure.group}.{failure.code}: {failure.message}"
        return [row.asdict() for row in result.rows] if result.columns else result.changes

    @action
    async def sql_batch(self, statements: list[tuple[str, list[object]]]) -> object:
        try:
            results = await self.ctx.db.execute_batch(statements)
        except RivetError as failure:
            return f"{failure.group}.{failure.code}: {failure.message}"
        return [result.changes for result in results]


@actor(name="stores")
class ThrottledStores(Stores):
    """What it writes is durable at once."""


@actor(name="strictStores", durability="strict")
class StrictStores(Stores):
    """What it writes is durable with its state."""


STORAGE_CLASSES: Sequence[type[Actor]] = (ThrottledStores, StrictStores)
