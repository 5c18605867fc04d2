"""One actor per tenant, with a SQLite database of its own: what people worked on, and what it costs.

No query can reach another tenant's rows, a large tenant slows nobody down, and deleting a tenant is deleting
an actor. A database is migrated when its actor wakes, so a release never migrates all of them at once.

Run it with ``python -m examples.per_tenant_database``; the client beside it books some hours.
"""

from datetime import date

from pydantic import BaseModel, Field

from examples.per_tenant_database.schema import MIGRATIONS
from rivetkit import Actor, Registry, RivetError, UserError, action, actor


class Entry(BaseModel):
    project: str
    person: str
    day: date
    minutes: int = Field(gt=0, le=24 * 60)


class ReportLine(BaseModel):
    project: str
    minutes: int
    price: float


@actor(name="tenant", sleep_timeout=10.0)
class Tenant(Actor):
    async def on_migrate(self, is_new: bool) -> None:
        await self.ctx.db.migrate(MIGRATIONS)

    @action
    async def add_project(self, name: str, rate: float) -> None:
        """A project, with its price per hour."""
        try:
            await self.ctx.db.execute("INSERT INTO projects (name, rate) VALUES (?, ?)", [name, rate])
        except RivetError as failure:
            if failure.code != "constraint_failed":
                raise
            raise UserError(f"there is a project {name!r} already", code="project_exists") from failure

    @action
    async def book(self, entries: list[Entry]) -> None:
        """Book work: all of the entries or none."""
        async with self.ctx.db.transaction() as tx:
            for entry in entries:
                booked = await tx.execute(
                    """
                    INSERT INTO entries (project, person, day, minutes)
                    SELECT id, :person, :day, :minutes FROM projects WHERE name = :project
                    """,
                    entry.model_dump(mode="json"),
                )
                if not booked.changes:
                    raise UserError(f"there is no project {entry.project!r}", code="unknown_project")

    @action
    async def report(self, first: date, last: date) -> list[ReportLine]:
        """What was worked on from one day to another, both included."""
        return await self.ctx.db.fetch_all(
            """
            SELECT name AS project, SUM(minutes) AS minutes, SUM(minutes) * rate / 60.0 AS price
            FROM entries JOIN projects ON projects.id = entries.project
            WHERE day BETWEEN ? AND ? GROUP BY projects.id ORDER BY name
            """,
            [first.isoformat(), last.isoformat()],
            into=ReportLine,
        )

    @action
    async def close_account(self) -> None:
        """Delete everything this tenant has."""
        await self.ctx.destroy()


registry = Registry(Tenant)
