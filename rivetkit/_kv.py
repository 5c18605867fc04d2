"""``self.ctx.kv``: the actor's key-value store, typed by the kind of its values and keys.

Bytes become text or plain data here; limits, durability and storage are the core's business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, cast, overload

import pydantic_core

from rivetkit_core.actor.kv import KeyValues
from rivetkit_core.errors import RivetError, error

KvKey = str | bytes
"""Text is stored as UTF-8: ``"a"`` and ``b"a"`` are the same key."""

ValueType = Literal["text", "bytes", "json"]
KeyType = Literal["text", "bytes"]

_Text = Literal["text"]
_Bytes = Literal["bytes"]
_Json = Literal["json"]


class Kv:
    """Durable values by key, beside the state and not limited by its size.

    Writing is by the value's own type: text and bytes as they are, anything else as JSON. Reading says which
    it is: ``type="text"`` (the default), ``"bytes"`` or ``"json"``. Keys are ordered by their bytes.

    A write is durable when it returns; in a strict action it becomes durable together with the state, before
    the answer leaves. At most 128 keys and 976 KiB at once, 128 KiB a value, 2 KiB a key.

    Every method raises RivetError: ``kv.key_too_large``, ``kv.value_too_large``, ``kv.batch_too_large`` and
    ``kv.too_many_keys`` before anything is written, ``kv.invalid_key`` and ``kv.invalid_value`` for what is
    not what it was read as, ``kv.closed`` after the actor ended; StorageError if storage fails.
    """

    def __init__(self, core: KeyValues) -> None:
        self._core = core

    @overload
    async def get(self, key: KvKey, *, type: _Text = "text") -> str | None: ...
    @overload
    async def get(self, key: KvKey, *, type: _Bytes) -> bytes | None: ...
    @overload
    async def get(self, key: KvKey, *, type: _Json) -> Any: ...
    async def get(self, key: KvKey, *, type: ValueType = "text") -> object:
        """The value of a key; None if there is none."""
        read = _reader(type)
        [value] = await self._core.get([_key(key)])
        return None if value is None else read(key, value)

    @overload
    async def get_batch(self, keys: Sequence[KvKey], *, type: _Text = "text") -> list[str | None]: ...
    @overload
    async def get_batch(self, keys: Sequence[KvKey], *, type: _Bytes) -> list[bytes | None]: ...
    @overload
    async def get_batch(self, keys: Sequence[KvKey], *, type: _Json) -> list[Any]: ...
    async def get_batch(self, keys: Sequence[KvKey], *, type: ValueType = "text") -> Any:
        """The values of keys, in their order; None for those that are not there."""
        read = _reader(type)
        found = await self._core.get(_keys(keys))
        return [None if value is None else read(key, value) for key, value in zip(keys, found, strict=True)]

    async def put(self, key: KvKey, value: object) -> None:
        """Write a value: str as text, bytes as they are, anything else as JSON (models and dates too)."""
        await self._core.put({_key(key): _written(key, value)})

    async def put_json(self, key: KvKey, value: object) -> None:
        """Write a value as JSON, whatever its type: text then reads back with ``type="json"``."""
        await self._core.put({_key(key): _json(key, value)})

    async def put_batch(self, entries: Mapping[str, object] | Mapping[bytes, object]) -> None:
        """Write all entries or none, each as ``put`` does."""
        if not isinstance(cast("object", entries), Mapping):
            raise TypeError(f"put_batch takes a mapping of keys to values, not {type(entries).__name__}")
        await self._core.put({_key(key): _written(key, value) for key, value in entries.items()})

    async def delete(self, key: KvKey) -> None:
        """Delete a key; fine if it is not there."""
        await self._core.delete([_key(key)])

    async def delete_batch(self, keys: Sequence[KvKey]) -> None:
        """Delete all keys or none."""
        await self._core.delete(_keys(keys))

    async def delete_range(self, start: KvKey, end: KvKey | None = None) -> None:
        """Delete the keys from ``start`` up to, not including, ``end``; None: to the last one."""
        await self._core.delete_range(_key(start), None if end is None else _key(end))

    @overload
    async def list_range(
        self,
        start: KvKey,
        end: KvKey | None = None,
        *,
        type: _Text = "text",
        key_type: _Text = "text",
        reverse: bool = False,
        limit: int | None = None,
    ) -> list[tuple[str, str]]: ...
    @overload
    async def list_range(
        self,
        start: KvKey,
        end: KvKey | None = None,
        *,
        type: _Bytes,
        key_type: _Text = "text",
        reverse: bool = False,
        limit: int | None = None,
    ) -> list[tuple[str, bytes]]: ...
    @overload
    async def list_range(
        self,
        start: KvKey,
        end: KvKey | None = None,
        *,
        type: _Json,
        key_type: _Text = "text",
        reverse: bool = False,
        limit: int | None = None,
    ) -> list[tuple[str, Any]]: ...
    @overload
    async def list_range(
        self,
        start: KvKey,
        end: KvKey | None = None,
        *,
        type: _Text = "text",
        key_type: _Bytes,
        reverse: bool = False,
        limit: int | None = None,
    ) -> list[tuple[bytes, str]]: ...
    @overload
    async def list_range(
        self,
        start: KvKey,
        end: KvKey | None = None,
        *,
        type: _Bytes,
        key_type: _Bytes,
        reverse: bool = False,
        limit: int | None = None,
    ) -> list[tuple[bytes, bytes]]: ...
    @overload
    async def list_range(
        self,
        start: KvKey,
        end: KvKey | None = None,
        *,
        type: _Json,
        key_type: _Bytes,
        reverse: bool = False,
        limit: int | None = None,
    ) -> list[tuple[bytes, Any]]: ...
    async def list_range(
        self,
        start: KvKey,
        end: KvKey | None = None,
        *,
        type: ValueType = "text",
        key_type: KeyType = "text",
        reverse: bool = False,
        limit: int | None = None,
    ) -> Any:
        """Keys from ``start`` up to, not including, ``end`` (None: all the rest), as ``list`` does."""
        stop = None if end is None else _key(end)
        found = await self._core.list_range(_key(start), stop, reverse=reverse, limit=limit)
        return _listed(found, type, key_type)

    @overload
    async def list(
        self,
        prefix: KvKey = "",
        *,
        type: _Text = "text",
        key_type: _Text = "text",
        reverse: bool = False,
        limit: int | None = None,
    ) -> list[tuple[str, str]]: ...
    @overload
    async def list(
        self,
        prefix: KvKey = "",
        *,
        type: _Bytes,
        key_type: _Text = "text",
        reverse: bool = False,
        limit: int | None = None,
    ) -> list[tuple[str, bytes]]: ...
    @overload
    async def list(
        self,
        prefix: KvKey = "",
        *,
        type: _Json,
        key_type: _Text = "text",
        reverse: bool = False,
        limit: int | None = None,
    ) -> list[tuple[str, Any]]: ...
    @overload
    async def list(
        self,
        prefix: KvKey = "",
        *,
        type: _Text = "text",
        key_type: _Bytes,
        reverse: bool = False,
        limit: int | None = None,
    ) -> list[tuple[bytes, str]]: ...
    @overload
    async def list(
        self,
        prefix: KvKey = "",
        *,
        type: _Bytes,
        key_type: _Bytes,
        reverse: bool = False,
        limit: int | None = None,
    ) -> list[tuple[bytes, bytes]]: ...
    @overload
    async def list(
        self,
        prefix: KvKey = "",
        *,
        type: _Json,
        key_type: _Bytes,
        reverse: bool = False,
        limit: int | None = None,
    ) -> list[tuple[bytes, Any]]: ...
    async def list(
        self,
        prefix: KvKey = "",
        *,
        type: ValueType = "text",
        key_type: KeyType = "text",
        reverse: bool = False,
        limit: int | None = None,
    ) -> Any:
        """Keys that begin with ``prefix`` and their values, in the order of the keys' bytes.

        Args:
            reverse: The last ones first; ``limit`` then keeps the last ones.
        """
        found = await self._core.list(_key(prefix), reverse=reverse, limit=limit)
        return _listed(found, type, key_type)


def _listed(
    found: Sequence[tuple[bytes, bytes]], type: ValueType, key_type: KeyType
) -> list[tuple[object, object]]:
    read = _reader(type)
    return [(_key_text(key) if key_type == "text" else key, read(key, value)) for key, value in found]


def _keys(keys: Sequence[KvKey]) -> Sequence[bytes]:
    if isinstance(keys, str | bytes):
        raise error("kv.invalid_key", reason="several keys are a list, and this is one")
    return [_key(key) for key in keys]


def _key(key: object) -> bytes:
    if isinstance(key, bytes):
        return key
    if not isinstance(key, str):
        raise error("kv.invalid_key", reason=f"a key is text or bytes, not {type(key).__name__}")
    try:
        return key.encode()
    except UnicodeEncodeError:
        raise error("kv.invalid_key", reason="the text holds a lone surrogate") from None


def _key_text(key: bytes) -> str:
    try:
        return key.decode()
    except UnicodeDecodeError:
        raise error("kv.invalid_key", reason=f"{key!r} is not UTF-8") from None


def _written(key: KvKey, value: object) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(cast("bytes", value))
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError:
            raise _misfit(key, "text", "it holds a lone surrogate") from None
    return _json(key, value)


def _json(key: KvKey, value: object) -> bytes:
    try:
        return pydantic_core.to_json(value)
    except (pydantic_core.PydanticSerializationError, ValueError) as failure:
        raise _misfit(key, "json", str(failure)) from None


def _reader(type: ValueType) -> Callable[[KvKey, bytes], object]:
    readers = {"text": _read_text, "bytes": _read_bytes, "json": _read_json}
    if type not in readers:
        raise ValueError(f"type is 'text', 'bytes' or 'json', not {type!r}")
    return readers[type]


def _read_text(key: KvKey, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as failure:
        raise _misfit(key, "text", str(failure)) from None


def _read_bytes(_key: KvKey, value: bytes) -> bytes:
    return value


def _read_json(key: KvKey, value: bytes) -> object:
    try:
        return pydantic_core.from_json(value)
    except ValueError as failure:
        raise _misfit(key, "json", str(failure)) from None


def _misfit(key: KvKey, type: ValueType, reason: str) -> RivetError:
    return error("kv.invalid_value", key=repr(key), type=type, reason=reason)
