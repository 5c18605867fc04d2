"""The actor's key-value store as its code uses it (actor-runtime 11.1): bytes to bytes, under ``04``.

Whether a write is durable when it returns, or waits for a save, is the records' business.

Invariants
    Limits are checked before anything is asked of storage.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from types import TracebackType

from rivetkit_core.actor.logs import ActorLog
from rivetkit_core.clock import Clock
from rivetkit_core.errors import error
from rivetkit_core.host.port import ActorStorage, Records, prefix_end

PREFIX = b"\x04"
MAX_KEYS = 128
MAX_KEY = 2048
MAX_VALUE = 131_072
MAX_BATCH = 976 * 1024


class KeyValues:
    """The user records of one generation.

    Every method raises ``kv.closed`` after the generation ended, what the limits say, and StorageError as
    ``ActorStorage`` does.
    """

    def __init__(self, storage: ActorStorage, *, clock: Clock, log: ActorLog) -> None:
        self._storage = storage
        self._clock = clock
        self._log = log
        self._closed = False

    async def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of keys, in their order; None for those that are not there."""
        with self._operation("get", len(keys)) as done:
            stored = _all_stored(keys)
            found = await self._storage.load(stored)
            done.results = len(found)
            return [found.get(key) for key in stored]

    async def put(self, entries: Mapping[bytes, bytes]) -> None:
        """Write all entries or none."""
        with self._operation("put", len(entries)):
            changes = dict(zip(_all_stored(list(entries)), entries.values(), strict=True))
            for value in entries.values():
                if len(value) > MAX_VALUE:
                    raise error("kv.value_too_large", size=len(value), limit=MAX_VALUE)
            size = sum(encoded_size(key) + len(value) for key, value in entries.items())
            if size > MAX_BATCH:
                raise error("kv.batch_too_large", size=size, limit=MAX_BATCH)
            if changes:
                await self._storage.apply(changes)

    async def delete(self, keys: Sequence[bytes]) -> None:
        """Delete all keys or none; missing ones are fine."""
        with self._operation("delete", len(keys)):
            deletes = _all_stored(keys)
            if deletes:
                await self._storage.apply({}, deletes)

    async def list_range(
        self, start: bytes, end: bytes | None, *, reverse: bool = False, limit: int | None = None
    ) -> Records:
        """Records from ``start`` up to, not including, ``end`` (None: the last one), by ascending key bytes.

        Args:
            reverse: Descending, so that ``limit`` keeps the last ones.
        """
        if limit is not None and limit < 0:
            raise ValueError(f"limit is {limit}; a listing has no fewer than 0 records")
        with self._operation("list", 0) as done:
            first, last = _span(start, end)
            found = await self._storage.list_range(first, last, reverse=reverse, limit=limit)
            done.results = len(found)
            return [(key[len(PREFIX) :], value) for key, value in found]

    async def list(self, prefix: bytes, *, reverse: bool = False, limit: int | None = None) -> Records:
        """Records whose key begins with ``prefix``, as ``list_range`` gives them."""
        stored(prefix)
        end = prefix_end(PREFIX + prefix)[len(PREFIX) :]
        return await self.list_range(prefix, end or None, reverse=reverse, limit=limit)

    async def delete_range(self, start: bytes, end: bytes | None) -> None:
        """Delete from ``start`` up to, not including, ``end`` (None: the last one), all or nothing."""
        with self._operation("delete_range", 0):
            first, last = _span(start, end)
            await self._storage.delete_range(first, last)

    def close(self) -> None:
        """Refuse everything from now on. Idempotent."""
        self._closed = True

    # --- inside ---------------------------------------------------------------------------------

    def _operation(self, name: str, key_count: int) -> _Operation:
        if self._closed:
            raise error("kv.closed")
        return _Operation(name, key_count, self._clock, self._log)


class _Operation:
    """Logs one call: its counts and its time, never keys or values."""

    def __init__(self, name: str, key_count: int, clock: Clock, log: ActorLog) -> None:
        self._name = name
        self._key_count = key_count
        self._clock = clock
        self._log = log
        self.results = 0

    def __enter__(self) -> _Operation:
        self._began = self._clock.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._log.isEnabledFor(logging.DEBUG):
            fields = {
                "operation": self._name,
                "key_count": self._key_count,
                "result_count": self.results,
                "elapsed_us": round((self._clock.monotonic() - self._began) * 1e6),
                "outcome": "ok" if failure is None else "error",
            }
            self._log.debug("kv %s", self._name, extra=fields)


def encoded_size(key: bytes) -> int:
    """Bytes a user's key takes in storage: zero bytes are escaped, and it has three bytes around it."""
    return len(key) + key.count(0) + 3


def stored(key: bytes) -> bytes:
    """The key of the record.

    Raises:
        RivetError: ``kv.key_too_large``.
    """
    size = encoded_size(key)
    if size > MAX_KEY:
        raise error("kv.key_too_large", size=size, limit=MAX_KEY)
    return PREFIX + key


def _all_stored(keys: Sequence[bytes]) -> list[bytes]:
    if len(keys) > MAX_KEYS:
        raise error("kv.too_many_keys", count=len(keys), limit=MAX_KEYS)
    return [stored(key) for key in keys]


def _span(start: bytes, end: bytes | None) -> tuple[bytes, bytes]:
    return stored(start), prefix_end(PREFIX) if end is None else stored(end)
