"""Placement rows in SQL: which actors exist and where they stand.

Plain functions over a connection; the caller brings the transaction. It knows no records.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from typing import cast

from rivetkit_core.host.embedded.store_port import ActorRow
from rivetkit_core.host.port import ActorKey

_COLUMNS = (
    "actor_id, namespace, name, key, create_ts, start_ts, connectable_ts, sleep_ts, destroy_ts, alarm_ts, "
    "generation, region, crash_policy, runner_name"
)
_EARLIEST = -(2**63)
_PLACES = ", ".join("?" * len(_COLUMNS.split(", ")))


def insert(connection: sqlite3.Connection, row: ActorRow) -> None:
    """Add a row whose id and key were seen to be free."""
    connection.execute(
        f"INSERT INTO actors ({_COLUMNS}) VALUES ({_PLACES})",  # noqa: S608 - constants only
        (
            row.actor_id,
            row.namespace,
            row.name,
            None if row.key is None else _key_to_text(row.key),
            row.create_ts,
            row.start_ts,
            row.connectable_ts,
            row.sleep_ts,
            row.destroy_ts,
            row.alarm_ts,
            row.generation,
            row.region,
            row.crash_policy,
            row.runner_name,
        ),
    )


def by_id(connection: sqlite3.Connection, actor_id: str) -> ActorRow | None:
    """The actor, destroyed or not."""
    found = _rows(connection, "actor_id = ?", (actor_id,))
    return found[0] if found else None


def living(connection: sqlite3.Connection, actor_ids: Iterable[str]) -> set[str]:
    """Those of the actors that exist and are not destroyed."""
    wanted = json.dumps(list(actor_ids))
    where = "actor_id IN (SELECT value FROM json_each(?)) AND destroy_ts IS NULL"
    found = connection.execute(f"SELECT actor_id FROM actors WHERE {where}", (wanted,))  # noqa: S608 - constants only
    return {actor_id for (actor_id,) in found}


def by_key(connection: sqlite3.Connection, namespace: str, name: str, key: ActorKey) -> ActorRow | None:
    """The living actor with that key."""
    where = "namespace = ? AND name = ? AND key = ? AND destroy_ts IS NULL"
    found = _rows(connection, where, (namespace, name, _key_to_text(key)))
    return found[0] if found else None


def page(
    connection: sqlite3.Connection,
    namespace: str,
    name: str,
    *,
    key: ActorKey | None,
    limit: int,
    before: tuple[int, str] | None,
    include_destroyed: bool,
) -> list[ActorRow]:
    """At most ``limit`` actors older than the position ``before``, newest first."""
    where = ["namespace = ?", "name = ?"]
    parameters: list[str | int] = [namespace, name]
    if key is not None:
        where.append("key = ?")
        parameters.append(_key_to_text(key))
    if not include_destroyed:
        where.append("destroy_ts IS NULL")
    if before is not None:
        where.append("(create_ts, actor_id) < (?, ?)")
        parameters.extend(before)
    order = " ORDER BY create_ts DESC, actor_id DESC LIMIT ?"
    return _rows(connection, " AND ".join(where) + order, (*parameters, limit))


def names(connection: sqlite3.Connection, namespace: str, *, limit: int, after: str | None) -> list[str]:
    """At most ``limit`` names behind ``after`` that actors were ever created under."""
    rows = connection.execute(
        "SELECT DISTINCT name FROM actors WHERE namespace = ? AND name > ? ORDER BY name LIMIT ?",
        (namespace, "" if after is None else after, limit),
    ).fetchall()
    return [cast("str", name) for (name,) in rows]


def start_generation(connection: sqlite3.Connection, actor_id: str, now_ms: int) -> int | None:
    """Count the actor's next life; None if there is no living actor of that id."""
    row = connection.execute(
        "UPDATE actors SET generation = generation + 1, start_ts = ?1, connectable_ts = ?1, sleep_ts = NULL "
        "WHERE actor_id = ?2 AND destroy_ts IS NULL RETURNING generation",
        (now_ms, actor_id),
    ).fetchall()
    return cast("int", row[0][0]) if row else None


def end_generation(connection: sqlite3.Connection, actor_id: str, now_ms: int) -> None:
    """Note since when a living actor sleeps."""
    connection.execute(
        "UPDATE actors SET sleep_ts = ?, connectable_ts = NULL WHERE actor_id = ? AND destroy_ts IS NULL",
        (now_ms, actor_id),
    )


def set_alarm(connection: sqlite3.Connection, actor_id: str, at_ms: int | None) -> None:
    """Choose when to wake a living actor."""
    connection.execute(
        "UPDATE actors SET alarm_ts = ? WHERE actor_id = ? AND destroy_ts IS NULL", (at_ms, actor_id)
    )


def due_alarms(
    connection: sqlite3.Connection,
    namespace: str,
    until_ms: int,
    *,
    after: tuple[int, str] | None,
    limit: int,
) -> list[tuple[int, str]]:
    """At most ``limit`` alarms behind the position ``after``, earliest first."""
    rows = connection.execute(
        # Left to itself, SQLite reads and sorts every actor of the namespace to find the first alarm.
        "SELECT alarm_ts, actor_id FROM actors INDEXED BY actors_by_alarm "
        "WHERE alarm_ts IS NOT NULL AND alarm_ts <= ? "
        "AND (alarm_ts, actor_id) > (?, ?) AND namespace = ? ORDER BY alarm_ts, actor_id LIMIT ?",
        (until_ms, *(after or (_EARLIEST, "")), namespace, limit),
    ).fetchall()
    return cast("list[tuple[int, str]]", rows)


def next_alarm(connection: sqlite3.Connection, namespace: str, after_ms: int) -> int | None:
    """The time of the earliest alarm later than ``after_ms``."""
    row = connection.execute(
        "SELECT alarm_ts FROM actors INDEXED BY actors_by_alarm "
        "WHERE alarm_ts > ? AND namespace = ? ORDER BY alarm_ts LIMIT 1",
        (after_ms, namespace),
    ).fetchone()
    return None if row is None else cast("int", row[0])


def mark_destroyed(connection: sqlite3.Connection, actor_id: str, now_ms: int) -> bool:
    """End the actor's existence and free its key; False if it was gone before."""
    cursor = connection.execute(
        "UPDATE actors SET destroy_ts = ?, connectable_ts = NULL, alarm_ts = NULL "
        "WHERE actor_id = ? AND destroy_ts IS NULL",
        (now_ms, actor_id),
    )
    return cursor.rowcount > 0


def _rows(connection: sqlite3.Connection, where: str, parameters: tuple[str | int, ...]) -> list[ActorRow]:
    statement = f"SELECT {_COLUMNS} FROM actors WHERE {where}"  # noqa: S608 - conditions are constants of this module
    return [_row(columns) for columns in connection.execute(statement, parameters).fetchall()]


def _row(columns: tuple[object, ...]) -> ActorRow:
    values = dict(zip(_COLUMNS.split(", "), columns, strict=True))
    key = values.pop("key")
    fields = cast("dict[str, str]", values)
    return ActorRow(**fields, key=None if key is None else _key_from_text(cast("str", key)))  # pyright: ignore[reportArgumentType]  # the table's columns are strict


def _key_to_text(key: ActorKey) -> str:
    return json.dumps(key, ensure_ascii=True, separators=(",", ":"))


def _key_from_text(text: str) -> ActorKey:
    return tuple(cast("list[str]", json.loads(text)))
