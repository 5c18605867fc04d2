"""Where an actor's records are: in the engine's KV store, or in tables of the actor's database.

This runtime creates actors in KV. Other RivetKit runtimes, from 2.3 on, keep the same facts in tables, into
which they copy what they find in KV when they first run an actor. From then on the tables are the truth, and
the records in KV are a frozen copy, which must not be taken for the actor.

A look into the database costs a request that opens it, so most starts do without:

    generation 1        nobody ran the actor before
    the note in KV      says that this runtime ran generation N in KV; if the next one is N + 1, nobody
                        came in between

Everybody else looks. The note travels with the first write of a generation and costs none of its own.

Invariants
    An actor whose tables are the truth is read and written there only.
    A database that is not understood ends the start; nothing is written.
"""

from __future__ import annotations

from rivetkit_core.actor.startup import START_KEYS
from rivetkit_core.errors import ProtocolError, error
from rivetkit_core.host.engine.kv import KvStorage
from rivetkit_core.host.engine.sql import RemoteDatabase
from rivetkit_core.host.engine.storage_requests import RequestScope
from rivetkit_core.host.engine.tables.failures import in_storage
from rivetkit_core.host.engine.tables.statements import blob, text
from rivetkit_core.host.engine.tables.storage import TableStorage
from rivetkit_core.host.port import ActorStorage, SqlStatement
from rivetkit_core.wire.bare import Reader, Writer
from rivetkit_core.wire.envoy.messages import PreloadedKv

NOTE_KEY = b"\x70\x79\x03"
PRELOADED_KEYS = (*START_KEYS, NOTE_KEY)
"""What the engine is asked to send along with a start."""

_VERSION = 1
_LOOK = SqlStatement("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '_rivet_meta'")

_FACTS = SqlStatement("SELECT key, value FROM _rivet_meta")
_SCHEMAS = range(1, 3)
"""Versions of the tables that this release knows. The second adds columns that say who caused what."""


async def open_storage(
    scope: RequestScope, database: RemoteDatabase, preloaded: PreloadedKv | None
) -> ActorStorage:
    """The records of a generation that starts, wherever they are.

    Raises:
        StorageError: They cannot be read; ``storage.unknown_layout`` when another runtime keeps them in a
            way that this one does not know.
    """
    storage = KvStorage(scope, preloaded, beside=(NOTE_KEY, _encode(scope.generation)))
    if scope.generation <= 1:
        return storage
    noted = (await storage.prefetch(PRELOADED_KEYS)).get(NOTE_KEY)
    if noted is not None and scope.generation - _decode(noted) in (0, 1):
        return storage
    if await _tables_are_truth(scope):
        return await TableStorage.open(scope, database)
    return storage


async def _tables_are_truth(scope: RequestScope) -> bool:
    with in_storage(scope):
        if not (await scope.execute(_LOOK)).rows:
            return False
        rows = (await scope.execute(_FACTS)).rows
    facts = {text(key): blob(value) for key, value in rows}
    if facts.get("kv_import_state") in (None, b"importing"):
        return False  # the copy was not made, or would be made again: what is in KV is still the truth
    version = int.from_bytes(facts.get("schema_version", b""), "little")
    if facts["kv_import_state"] != b"done" or version not in _SCHEMAS:
        reason = f"schema version {version}, import {facts['kv_import_state'].decode(errors='replace')!r}"
        raise error("storage.unknown_layout", actor_id=scope.actor_id, reason=reason)
    return True


def _encode(generation: int) -> bytes:
    writer = Writer()
    writer.u16(_VERSION)
    writer.u32(generation)
    return writer.finish()


def _decode(note: bytes) -> int:
    """The generation; -1 of a note that says nothing to this release."""
    reader = Reader(note)
    try:
        if reader.u16() == _VERSION:
            return reader.u32()
    except ProtocolError:
        pass
    return -1
