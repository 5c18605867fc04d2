"""Numbered migrations of an actor's database: step n leads from version n - 1 to version n.

The version is a table of the database itself, written in the transaction of the step, so that a crash leaves
the database at one version or the next.

Invariants
    A step runs at most once in the life of a database, and only after every step before it.
    A database of a newer version than the code knows is not touched.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from rivetkit_core.actor.database import Database
from rivetkit_core.actor.transaction import Transaction
from rivetkit_core.errors import error
from rivetkit_core.host.port import SqlStatement

Step = Callable[[Transaction], Awaitable[None]]

TIMEOUT = 300.0
"""Seconds one step may take."""

_TABLE = "CREATE TABLE IF NOT EXISTS _rivet_migrations (version INTEGER PRIMARY KEY)"
_READ = "SELECT coalesce(max(version), 0) FROM _rivet_migrations"
_WRITE = "INSERT INTO _rivet_migrations (version) VALUES (?)"


async def migrate(database: Database, steps: Sequence[Step]) -> int:
    """Bring a database to the version of the last step; returns how many steps that took.

    Raises:
        RivetError: ``sqlite.migration_missing``: the database is newer than the steps; or what a step
            raises, and the database stays at the version before it.
    """
    done = 0
    while await _advanced(database, steps):
        done += 1
    return done


async def _advanced(database: Database, steps: Sequence[Step]) -> bool:
    async with database.transaction(TIMEOUT) as transaction:
        await transaction.run(SqlStatement(_TABLE))
        [(version,)] = (await transaction.run(SqlStatement(_READ))).rows
        if not isinstance(version, int) or version > len(steps):
            raise error("sqlite.migration_missing", found=version, known=len(steps))
        if version == len(steps):
            return False
        await steps[version](transaction)
        await transaction.run(SqlStatement(_WRITE, (version + 1,)))
        return True
