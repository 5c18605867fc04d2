"""The schema of a tenant's database, as the list of its steps. Add steps at the end; never change one."""

from rivetkit import Transaction


async def hours_to_minutes(tx: Transaction) -> None:
    for row in await tx.fetch_all("SELECT id, hours FROM entries"):
        await tx.execute("UPDATE entries SET minutes = ? WHERE id = ?", [round(row["hours"] * 60), row["id"]])


MIGRATIONS = [
    """
    CREATE TABLE projects (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY,
        project INTEGER NOT NULL REFERENCES projects,
        person TEXT NOT NULL,
        day TEXT NOT NULL,
        hours REAL NOT NULL
    );
    CREATE INDEX entries_by_day ON entries (day);
    """,
    "ALTER TABLE projects ADD COLUMN rate REAL NOT NULL DEFAULT 0",
    "ALTER TABLE entries ADD COLUMN minutes INTEGER NOT NULL DEFAULT 0",
    hours_to_minutes,
    "ALTER TABLE entries DROP COLUMN hours",
]
