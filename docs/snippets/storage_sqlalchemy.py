import sqlalchemy as sa

from rivetkit import Actor, action

notes = sa.Table(
    "notes",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("text", sa.String, nullable=False),
)


class Notebook(Actor):
    async def on_migrate(self, is_new: bool) -> None:
        await self.ctx.db.migrate(["CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)"])

    @action
    async def add(self, text: str) -> None:
        await self.ctx.db.execute(sa.insert(notes).values(text=text))

    @action
    async def find(self, word: str) -> list[str]:
        found = sa.select(notes.c.text).where(notes.c.text.contains(word)).order_by(notes.c.id)
        return await self.ctx.db.fetch_all(found, into=str)
