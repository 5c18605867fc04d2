"""``ActorStorage`` on the engine's KV store, within its limits (envoy-protocol 7.1, actor-runtime 2.7).

A record is stored under its own key as it is, wherever it fits. Otherwise:

    a value above 128 KiB   is cut into chunks under a private prefix; the record's own key holds a note with
                            their revision and number, so that writing the note switches from old to new
    a delete beside puts    is written as a note too, since the store can put or delete but not both at once

Values of users, below ``04``, are theirs: never a note, and never too large for the store. A delete of theirs
beside puts follows them in a request of its own, and is repeated with them when it fails.

Invariants
    ``apply`` is one Put, which the engine does whole or not at all; chunks that do not fit into it go ahead,
    and nothing refers to them before that Put.
    What is cleaned up afterwards (old chunks, notes of deletes) is garbage whether or not that succeeds.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

from rivetkit_core.errors import RivetError, error
from rivetkit_core.host.engine.storage_requests import RequestScope
from rivetkit_core.host.port import Records, prefix_end
from rivetkit_core.wire import bare
from rivetkit_core.wire.envoy.messages import (
    KvDelete,
    KvDeleteRange,
    KvGet,
    KvGot,
    KvList,
    KvListed,
    KvPut,
    ListRange,
    PreloadedKv,
)

log = logging.getLogger("rivetkit.envoy")

MAX_KEYS = 128
MAX_VALUE = 131_072
MAX_PUT = 976 * 1024
PAGE = 512
"""Records asked for at once: at most 64 MiB."""

_NOTE = b"\xff\xff"  # no record has this version
_DELETED = _NOTE + b"\x00"
_CHUNKED = _NOTE + b"\x01"
_CHUNK_PREFIX = b"\x70\x79\x00"
_RAW = b"\x04"

Pairs = list[tuple[bytes, bytes]]


class KvStorage:
    """The records of one generation.

    Args:
        preloaded: What came with the start and need not be read.
        beside: A record that goes with the first write that has room for it.
    """

    def __init__(
        self,
        scope: RequestScope,
        preloaded: PreloadedKv | None = None,
        *,
        beside: tuple[bytes, bytes] | None = None,
    ) -> None:
        self._scope = scope
        self._beside = beside
        self._revisions: dict[bytes, int] = {}
        self._preloaded: dict[bytes, bytes | None] = {}
        self._listings: dict[bytes, Pairs] = {}
        if preloaded is not None:
            pairs = sorted((entry.key, entry.value) for entry in preloaded.entries)
            for prefix in preloaded.requested_prefixes:
                self._listings[prefix] = [pair for pair in pairs if pair[0].startswith(prefix)]
            self._preloaded = dict.fromkeys(preloaded.requested_get_keys)
            self._preloaded.update((entry.key, entry.value) for entry in preloaded.entries)

    async def prefetch(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Read records that are going to be loaded; returns those that exist, as the engine has them."""
        unknown = [key for key in keys if key not in self._preloaded]
        if unknown:
            found = await self._get(unknown)
            self._preloaded.update((key, found.get(key)) for key in unknown)
        stored = ((key, self._preloaded[key]) for key in keys)
        return {key: value for key, value in stored if value is not None}

    async def load(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        self._scope.check()
        found: dict[bytes, bytes] = {}
        for key, value in (await self._get(keys)).items():
            if key.startswith(_RAW):
                found[key] = value
            elif not value.startswith(_NOTE):
                self._revisions[key] = 0
                found[key] = value
            elif value.startswith(_CHUNKED):
                found[key] = await self._join(key, value)
        return found

    async def apply(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes] = ()) -> None:
        self._scope.check()
        gone = tuple(dict.fromkeys(deletes))
        kept = {key: value for key, value in puts.items() if key not in gone}
        for key in (*kept, *gone):
            self._preloaded.pop(key, None)
            self._forget_listings(key, key + b"\x00")
        if not kept:
            for group in _groups(gone, MAX_KEYS):
                await self._scope.kv(KvDelete(tuple(group)))
            await self._clean_up(kept, gone)
            return
        noted = [key for key in gone if not key.startswith(_RAW)]
        await self._put(kept, noted)
        for group in _groups([key for key in gone if key.startswith(_RAW)], MAX_KEYS):
            await self._scope.kv(KvDelete(tuple(group)))
        await self._clean_up(kept, noted)

    async def list_range(
        self, start: bytes, end: bytes, *, reverse: bool = False, limit: int | None = None
    ) -> Records:
        self._scope.check()
        found: Records = []
        while start < end and (limit is None or len(found) < limit):
            size = PAGE if limit is None else min(PAGE, limit - len(found))
            page = await self._page(start, end, size, reverse=reverse)
            found += await self._resolve(page)
            if len(page) < size:
                break
            start, end = (start, page[-1][0]) if reverse else (page[-1][0] + b"\x00", end)
        return found

    async def list(self, prefix: bytes, *, reverse: bool = False, limit: int | None = None) -> Records:
        preloaded = self._listings.pop(prefix, None)
        if preloaded is not None:
            self._scope.check()
            found = await self._resolve(preloaded)
            return (found[::-1] if reverse else found)[:limit]
        # The engine's own prefix query loses keys that go on with 0xFF.
        return await self.list_range(prefix, prefix_end(prefix), reverse=reverse, limit=limit)

    async def delete_range(self, start: bytes, end: bytes) -> None:
        self._scope.check()
        chunked: set[bytes] = set()
        following = start if not (start.startswith(_RAW) and end <= prefix_end(_RAW)) else end
        while following < end:
            page = await self._page(following, end, PAGE, reverse=False)
            chunked.update(key for key, value in page if value.startswith(_CHUNKED))
            if len(page) < PAGE:
                break
            following = page[-1][0] + b"\x00"
        for key in [key for key in self._preloaded if start <= key < end]:
            del self._preloaded[key]
        self._forget_listings(start, end)
        for key in [key for key in self._revisions if start <= key < end]:
            del self._revisions[key]
        await self._scope.kv(KvDeleteRange(start, end))
        await self._forget_chunks(chunked)

    # --- reading --------------------------------------------------------------------------------

    async def _get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        asked: list[bytes] = []
        for key in dict.fromkeys(keys):
            if key in self._preloaded:
                value = self._preloaded.pop(key)
                if value is not None:
                    found[key] = value
            else:
                asked.append(key)
        for group in _groups(asked, MAX_KEYS):
            answer = await self._scope.kv(KvGet(tuple(group)))
            if not isinstance(answer, KvGot):
                raise error("storage.unavailable", "The engine answered a read with something else")
            found.update(zip(answer.keys, answer.values, strict=True))
        return found

    async def _page(self, start: bytes, end: bytes, size: int, *, reverse: bool) -> Pairs:
        query = ListRange(start, end, exclusive=True)
        answer = await self._scope.kv(KvList(query, reverse=reverse, limit=size))
        if not isinstance(answer, KvListed):
            raise error("storage.unavailable", "The engine answered a listing with something else")
        return list(zip(answer.keys, answer.values, strict=True))

    async def _resolve(self, page: Pairs) -> Records:
        found: Records = []
        for key, value in page:
            if key.startswith(_RAW):
                found.append((key, value))
            elif not value.startswith(_NOTE):
                self._revisions[key] = 0
                found.append((key, value))
            elif value.startswith(_CHUNKED):
                found.append((key, await self._join(key, value)))
        return found

    async def _join(self, key: bytes, note: bytes) -> bytes:
        reader = bare.Reader(note[len(_CHUNKED) :])
        revision, count = reader.u32(), reader.u16()
        self._revisions[key] = revision
        names = [_chunk_key(key, revision, index) for index in range(count)]
        chunks = await self._get(names)
        missing = [index for index, name in enumerate(names) if name not in chunks]
        if missing:
            raise error("storage.corrupt", reason=f"chunk {missing[0]} of {count} of a record is missing")
        return b"".join(chunks[name] for name in names)

    def _forget_listings(self, start: bytes, end: bytes) -> None:
        for prefix in [prefix for prefix in self._listings if prefix < end and prefix_end(prefix) > start]:
            del self._listings[prefix]

    # --- writing --------------------------------------------------------------------------------

    async def _put(self, kept: Mapping[bytes, bytes], gone: Sequence[bytes]) -> None:
        chunks: Pairs = []
        final: Pairs = []
        for key, value in kept.items():
            if key.startswith(_RAW) or (len(value) <= MAX_VALUE and not value.startswith(_NOTE)):
                final.append((key, value))
                continue
            revision = await self._next_revision(key)
            parts = [value[start : start + MAX_VALUE] for start in range(0, len(value), MAX_VALUE)]
            chunks += [(_chunk_key(key, revision, index), part) for index, part in enumerate(parts)]
            final.append((key, _note(revision, len(parts))))
            self._revisions[key] = revision
        final += [(key, _DELETED) for key in gone]
        if not _fits(final):
            raise error("storage.too_large", reason=f"{len(final)} records, {_size(final)} bytes at once")
        if _fits(chunks + final):
            final = chunks + final
        else:
            for batch in _batches(chunks):
                await self._put_pairs(batch)
        await self._put_last(final)

    async def _put_last(self, pairs: Pairs) -> None:
        beside = self._beside
        if beside is None or not _fits([*pairs, beside]):
            await self._put_pairs(pairs)
        else:
            await self._put_pairs([*pairs, beside])
            self._beside = None

    async def _put_pairs(self, pairs: Pairs) -> None:
        await self._scope.kv(KvPut(tuple(key for key, _ in pairs), tuple(value for _, value in pairs)))

    async def _next_revision(self, key: bytes) -> int:
        if key not in self._revisions:
            note = (await self._get([key])).get(key, b"")
            chunked = note.startswith(_CHUNKED)
            self._revisions[key] = bare.Reader(note[len(_CHUNKED) :]).u32() if chunked else 0
        return self._revisions[key] + 1

    async def _clean_up(self, kept: Mapping[bytes, bytes], gone: Sequence[bytes]) -> None:
        try:
            if kept and gone:
                await self._scope.kv(KvDelete(tuple(gone)))
            for key in (*kept, *gone):
                if not self._revisions.get(key):
                    continue
                current = kept.get(key, b"")
                chunked = len(current) > MAX_VALUE or current.startswith(_NOTE)
                end = self._revisions[key] if chunked else self._revisions.pop(key) + 1
                if end > 1:
                    await self._scope.kv(KvDeleteRange(_chunk_key(key, 0, 0), _chunk_key(key, end, 0)))
        except RivetError as failure:
            log.warning("old chunks of a record were left behind: %s", failure)

    async def _forget_chunks(self, keys: Iterable[bytes]) -> None:
        try:
            for key in keys:
                last = _chunk_key(key, 0xFFFF_FFFF, 0xFFFF)
                await self._scope.kv(KvDeleteRange(_chunk_key(key, 0, 0), last))
        except RivetError as failure:
            log.warning("chunks of deleted records were left behind: %s", failure)


def _note(revision: int, count: int) -> bytes:
    writer = bare.Writer()
    writer.u32(revision)
    writer.u16(count)
    return _CHUNKED + writer.finish()


def _chunk_key(key: bytes, revision: int, index: int) -> bytes:
    length = len(key).to_bytes(2, "big")
    return _CHUNK_PREFIX + length + key + revision.to_bytes(4, "big") + index.to_bytes(2, "big")


def _size(pairs: Pairs) -> int:
    """As the engine counts: zero bytes of a key are escaped, and each key has two bytes around it."""
    return sum(len(key) + key.count(0) + 2 + len(value) for key, value in pairs)


def _fits(pairs: Pairs) -> bool:
    return len(pairs) <= MAX_KEYS and _size(pairs) <= MAX_PUT


def _batches(pairs: Pairs) -> Iterable[Pairs]:
    batch: Pairs = []
    for pair in pairs:
        if not _fits([*batch, pair]):
            yield batch
            batch = []
        batch.append(pair)
    if batch:
        yield batch


def _groups(keys: Sequence[bytes], size: int) -> Iterable[Sequence[bytes]]:
    return (keys[start : start + size] for start in range(0, len(keys), size))
