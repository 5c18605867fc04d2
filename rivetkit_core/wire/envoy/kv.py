"""Key-value requests and responses (envoy-protocol 4.3). The rules of the store itself are not known here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from rivetkit_core.errors import ProtocolError
from rivetkit_core.wire.bare import Reader, Writer
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
    KvRequest,
    KvRequestData,
    KvResponse,
    KvResponseData,
    ListAll,
    ListPrefix,
    ListRange,
)
from rivetkit_core.wire.envoy.structures import read_all, read_blobs, write_all
from rivetkit_core.wire.envoy.tagged import TaggedUnion, bare_variant, variant

Found = TypeVar("Found", KvGot, KvListed)


def read_metadata(reader: Reader) -> KvMetadata:
    return KvMetadata(reader.data(), reader.i64())


def write_metadata(writer: Writer, metadata: KvMetadata) -> None:
    writer.data(metadata.version)
    writer.i64(metadata.update_ts)


def _check_parallel(*lengths: int) -> None:
    if len(set(lengths)) > 1:
        raise ProtocolError(f"parallel lists of {' and '.join(map(str, lengths))} items")


def _write_range(writer: Writer, query: ListRange) -> None:
    writer.data(query.start)
    writer.data(query.end)
    writer.bool(query.exclusive)


_QUERY: TaggedUnion[ListAll | ListRange | ListPrefix] = TaggedUnion(
    "a list query",
    bare_variant(ListAll),
    variant(ListRange, _write_range, lambda reader: ListRange(reader.data(), reader.data(), reader.bool())),
    variant(
        ListPrefix,
        lambda writer, query: writer.data(query.key),
        lambda reader: ListPrefix(reader.data()),
    ),
)


def _write_list(writer: Writer, request: KvList) -> None:
    _QUERY.write(writer, request.query)
    writer.optional(request.reverse, writer.bool)
    writer.optional(request.limit, writer.u64)


def _read_list(reader: Reader) -> KvList:
    return KvList(_QUERY.read(reader), reader.optional(reader.bool), reader.optional(reader.u64))


def _write_put(writer: Writer, request: KvPut) -> None:
    _check_parallel(len(request.keys), len(request.values))
    writer.list(request.keys, writer.data)
    writer.list(request.values, writer.data)


def _read_put(reader: Reader) -> KvPut:
    request = KvPut(read_blobs(reader), read_blobs(reader))
    _check_parallel(len(request.keys), len(request.values))
    return request


def _write_delete_range(writer: Writer, request: KvDeleteRange) -> None:
    writer.data(request.start)
    writer.data(request.end)


_REQUEST: TaggedUnion[KvRequestData] = TaggedUnion(
    "a key-value request",
    variant(
        KvGet,
        lambda writer, request: writer.list(request.keys, writer.data),
        lambda reader: KvGet(read_blobs(reader)),
    ),
    variant(KvList, _write_list, _read_list),
    variant(KvPut, _write_put, _read_put),
    variant(
        KvDelete,
        lambda writer, request: writer.list(request.keys, writer.data),
        lambda reader: KvDelete(read_blobs(reader)),
    ),
    variant(
        KvDeleteRange,
        _write_delete_range,
        lambda reader: KvDeleteRange(reader.data(), reader.data()),
    ),
    bare_variant(KvDrop),
)


def _write_found(writer: Writer, found: KvGot | KvListed) -> None:
    _check_parallel(len(found.keys), len(found.values), len(found.metadata))
    writer.list(found.keys, writer.data)
    writer.list(found.values, writer.data)
    write_all(writer, found.metadata, write_metadata)


def _reads_found(kind: type[Found]) -> Callable[[Reader], Found]:
    def read(reader: Reader) -> Found:
        found = kind(read_blobs(reader), read_blobs(reader), read_all(reader, read_metadata))
        _check_parallel(len(found.keys), len(found.values), len(found.metadata))
        return found

    return read


_RESPONSE: TaggedUnion[KvResponseData] = TaggedUnion(
    "a key-value response",
    variant(
        KvError,
        lambda writer, failure: writer.str(failure.message),
        lambda reader: KvError(reader.str()),
    ),
    variant(KvGot, _write_found, _reads_found(KvGot)),
    variant(KvListed, _write_found, _reads_found(KvListed)),
    bare_variant(KvPutDone),
    bare_variant(KvDeleteDone),
    bare_variant(KvDropDone),
)


def _write_request(writer: Writer, message: KvRequest) -> None:
    writer.str(message.actor_id)
    writer.u32(message.request_id)
    _REQUEST.write(writer, message.data)


def _write_response(writer: Writer, message: KvResponse) -> None:
    writer.u32(message.request_id)
    _RESPONSE.write(writer, message.data)


KV_REQUEST = variant(
    KvRequest,
    _write_request,
    lambda reader: KvRequest(reader.str(), reader.u32(), _REQUEST.read(reader)),
)
KV_RESPONSE = variant(
    KvResponse, _write_response, lambda reader: KvResponse(reader.u32(), _RESPONSE.read(reader))
)
