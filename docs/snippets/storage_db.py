from pydantic import BaseModel

from rivetkit import Actor, RivetError, Transaction, UserError, action


async def number_of_old_orders(tx: Transaction) -> None:
    for number, row in enumerate(await tx.fetch_all("SELECT id FROM orders ORDER BY id"), start=1):
        await tx.execute("UPDATE orders SET number = ? WHERE id = ?", [number, row["id"]])


MIGRATIONS = [
    """
    CREATE TABLE stock (item TEXT PRIMARY KEY, pieces INTEGER NOT NULL CHECK (pieces >= 0));
    CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT REFERENCES stock, pieces INTEGER NOT NULL);
    """,
    "ALTER TABLE orders ADD COLUMN number INTEGER",
    number_of_old_orders,
]


class Order(BaseModel):
    item: str
    pieces: int


class Shop(Actor):
    async def on_migrate(self, is_new: bool) -> None:
        await self.ctx.db.migrate(MIGRATIONS)

    @action
    async def deliver(self, item: str, pieces: int) -> None:
        await self.ctx.db.execute(
            "INSERT INTO stock VALUES (:item, :pieces) ON CONFLICT DO UPDATE SET pieces = pieces + :pieces",
            {"item": item, "pieces": pieces},
        )

    @action
    async def order(self, item: str, pieces: int) -> int:
        try:
            async with self.ctx.db.transaction() as tx:
                placed = await tx.execute("INSERT INTO orders (item, pieces) VALUES (?, ?)", [item, pieces])
                await tx.execute("UPDATE stock SET pieces = pieces - ? WHERE item = ?", [pieces, item])
        except RivetError as failure:
            if failure.code == "constraint_failed":
                raise UserError("not enough of it", code="sold_out") from failure
            raise
        assert placed.last_insert_id is not None
        return placed.last_insert_id

    @action
    async def orders(self, item: str) -> list[Order]:
        return await self.ctx.db.fetch_all("SELECT * FROM orders WHERE item = ?", [item], into=Order)
