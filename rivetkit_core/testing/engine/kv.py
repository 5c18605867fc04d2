"""One actor's keys and values as the engine keeps them, with its limits (envoy-protocol 7.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from rivetkit_core.wire.envoy.messages import (
    KvDelete,
    KvDeleteDone,
    KvDeleteRange,
    KvDrop,
    KvDropDone,
    KvError,
    KvGet,
    KvGot,
    KvList,
    KvListed,
    KvMetadata,
    KvPut,
    KvPutDone,
    KvRequestData,
    KvResponseData,
    ListAll,
    ListPrefix,
    ListRange,
)

MAX_KEYS = 128
MAX_KEY = 2048
"""Of a key as it is stored: two bytes around it, and every zero counts twice."""
MAX_VALUE = 131_072
MAX_PUT = 976 * 1024
DEFAULT_LIMIT = 16_384
ENGINE_VERSION = "2.3.19"


def stored_size(key: bytes) -> int:
    """Bytes of a key in the engine's own form."""
    return len(key) + key.count(0) + 2


class ActorKv:
    """Answers requests; tests may look into ``records`` and change them."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.records: dict[bytes, bytes] = {}
        self._updated: dict[bytes, int] = {}
        self._now_ms = now_ms

    def clear(self) -> None:
        self.records.clear()
        self._updated.clear()

    def answer(self, request: KvRequestData) -> KvResponseData:
        match request:
            case KvGet(keys):
                return self._get(keys)
            case KvList():
                return self._list(request)
            case KvPut(keys, values):
                return self._put(keys, values)
            case KvDelete(keys):
                return self._delete(keys)
            case KvDeleteRange(start, end):
                self._remove(key for key in list(self.records) if start <= key < end)
                return KvDeleteDone()
            case KvDrop():
                self.clear()
                return KvDropDone()

    def _get(self, keys: Sequence[bytes]) -> KvResponseData:
        if (refused := _refused_keys(keys)) is not None:
            return refused
        found = tuple(key for key in keys if key in self.records)
        return KvGot(found, tuple(map(self.records.__getitem__, found)), self._metadata(found))

    def _put(self, keys: Sequence[bytes], values: Sequence[bytes]) -> KvResponseData:
        size = sum(map(stored_size, keys)) + sum(map(len, values))
        if (
            len(keys) != len(values)
            or _refused_keys(keys) is not None
            or any(len(value) > MAX_VALUE for value in values)
            or size > MAX_PUT
        ):
            return KvError("transaction failed")
        now = self._now_ms()
        for key, value in zip(keys, values, strict=True):
            self.records[key] = value
            self._updated[key] = now
        return KvPutDone()

    def _delete(self, keys: Sequence[bytes]) -> KvResponseData:
        if (refused := _refused_keys(keys)) is not None:
            return refused
        self._remove(keys)
        return KvDeleteDone()

    def _list(self, request: KvList) -> KvListed:
        found = sorted(key for key in self.records if _selects(request, key))
        if request.reverse:
            found.reverse()
        limit = DEFAULT_LIMIT if request.limit is None else request.limit
        keys = tuple(found[:limit])
        return KvListed(keys, tuple(map(self.records.__getitem__, keys)), self._metadata(keys))

    def _remove(self, keys: Iterable[bytes]) -> None:
        for key in keys:
            self.records.pop(key, None)
            self._updated.pop(key, None)

    def _metadata(self, keys: Sequence[bytes]) -> tuple[KvMetadata, ...]:
        version = ENGINE_VERSION.encode()
        return tuple(KvMetadata(version, self._updated.get(key, 0)) for key in keys)


def _selects(request: KvList, key: bytes) -> bool:
    match request.query:
        case ListAll():
            return True
        case ListRange(start, end, exclusive):
            return start <= key and (key < end if exclusive else key <= end)
        case ListPrefix(prefix):
            # The engine loses keys that go on with 0xFF after the prefix.
            return key.startswith(prefix) and key[len(prefix) : len(prefix) + 1] != b"\xff"


def _refused_keys(keys: Sequence[bytes]) -> KvError | None:
    if len(keys) > MAX_KEYS:
        return KvError(f"a request takes at most {MAX_KEYS} keys, not {len(keys)}")
    longest = max(map(stored_size, keys), default=0)
    if longest > MAX_KEY:
        return KvError(f"key is too long: {longest} bytes stored, the limit is {MAX_KEY}")
    return None
