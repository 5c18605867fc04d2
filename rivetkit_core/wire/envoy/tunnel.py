"""Traffic of clients through the engine: requests, responses, websockets (envoy-protocol 4.4).

Version 8 added the windows, the cancellation of bodies, reasons of aborts, and the generation a request is
bound to. Writing version 6 drops those fields, and refuses those messages.
"""

from __future__ import annotations

from rivetkit_core.wire.bare import Reader, Writer
from rivetkit_core.wire.envoy.messages import (
    EngineWebSocketClose,
    EngineWebSocketOpen,
    HostWebSocketClose,
    HostWebSocketOpen,
    RequestAbort,
    RequestBodyCancel,
    RequestBodyWindowUpdate,
    RequestChunk,
    RequestStart,
    ResponseAbort,
    ResponseBodyWindowUpdate,
    ResponseChunk,
    ResponseStart,
    ToEnvoyTunnel,
    ToEnvoyTunnelKind,
    ToRivetTunnel,
    ToRivetTunnelKind,
    WebSocketMessage,
    WebSocketMessageAck,
)
from rivetkit_core.wire.envoy.structures import (
    read_abort_reason,
    read_message_id,
    write_abort_reason,
    write_message_id,
)
from rivetkit_core.wire.envoy.tagged import TaggedUnion, Variant, bare_variant, variant


def _write_chunk(writer: Writer, message: ResponseChunk | RequestChunk) -> None:
    writer.data(message.body)
    writer.bool(message.finish)


def _write_window(writer: Writer, message: RequestBodyWindowUpdate | ResponseBodyWindowUpdate) -> None:
    writer.u64(message.consumed_bytes)


def _write_socket_message(writer: Writer, message: WebSocketMessage) -> None:
    writer.data(message.data)
    writer.bool(message.binary)


def _write_close(writer: Writer, message: HostWebSocketClose | EngineWebSocketClose) -> None:
    writer.optional(message.code, writer.u16)
    writer.optional(message.reason, writer.str)


_SOCKET_MESSAGE = variant(
    WebSocketMessage, _write_socket_message, lambda reader: WebSocketMessage(reader.data(), reader.bool())
)


# Host to engine.


def _write_response_start(writer: Writer, message: ResponseStart) -> None:
    writer.u16(message.status)
    writer.map(message.headers, writer.str, writer.str)
    writer.optional(message.body, writer.data)
    writer.bool(message.stream)


def _read_response_start(reader: Reader) -> ResponseStart:
    return ResponseStart(
        status=reader.u16(),
        headers=reader.map(reader.str, reader.str),
        body=reader.optional(reader.data),
        stream=reader.bool(),
    )


def _write_host_close(writer: Writer, message: HostWebSocketClose) -> None:
    _write_close(writer, message)
    writer.bool(message.hibernate)


def _read_host_close(reader: Reader) -> HostWebSocketClose:
    return HostWebSocketClose(reader.optional(reader.u16), reader.optional(reader.str), reader.bool())


_RESPONSE = (
    variant(ResponseStart, _write_response_start, _read_response_start),
    variant(ResponseChunk, _write_chunk, lambda reader: ResponseChunk(reader.data(), reader.bool())),
)
_HOST_SOCKET = (
    variant(
        HostWebSocketOpen,
        lambda writer, message: writer.bool(message.can_hibernate),
        lambda reader: HostWebSocketOpen(reader.bool()),
    ),
    _SOCKET_MESSAGE,
    variant(
        WebSocketMessageAck,
        lambda writer, message: writer.u16(message.index),
        lambda reader: WebSocketMessageAck(reader.u16()),
    ),
    variant(HostWebSocketClose, _write_host_close, _read_host_close),
)
_TO_RIVET: dict[int, TaggedUnion[ToRivetTunnelKind]] = {
    8: TaggedUnion(
        "the tunnel to the engine in version 8",
        *_RESPONSE,
        variant(
            ResponseAbort,
            lambda writer, message: write_abort_reason(writer, message.reason),
            lambda reader: ResponseAbort(read_abort_reason(reader)),
        ),
        variant(RequestBodyWindowUpdate, _write_window, lambda reader: RequestBodyWindowUpdate(reader.u64())),
        bare_variant(RequestBodyCancel),
        *_HOST_SOCKET,
    ),
    6: TaggedUnion(
        "the tunnel to the engine in version 6", *_RESPONSE, bare_variant(ResponseAbort), *_HOST_SOCKET
    ),
}


# Engine to host.


def _write_request(writer: Writer, message: RequestStart) -> None:
    writer.str(message.method)
    writer.str(message.path)
    writer.map(message.headers, writer.str, writer.str)
    writer.optional(message.body, writer.data)
    writer.bool(message.stream)


def _write_request_start(writer: Writer, message: RequestStart) -> None:
    writer.str(message.actor_id)
    writer.optional(message.actor_generation, writer.u32)
    _write_request(writer, message)
    writer.bool(message.response_stream)


def _read_request_start(reader: Reader) -> RequestStart:
    return RequestStart(
        actor_id=reader.str(),
        actor_generation=reader.optional(reader.u32),
        method=reader.str(),
        path=reader.str(),
        headers=reader.map(reader.str, reader.str),
        body=reader.optional(reader.data),
        stream=reader.bool(),
        response_stream=reader.bool(),
    )


def _write_request_start_v6(writer: Writer, message: RequestStart) -> None:
    writer.str(message.actor_id)
    _write_request(writer, message)


def _read_request_start_v6(reader: Reader) -> RequestStart:
    return RequestStart(
        actor_id=reader.str(),
        method=reader.str(),
        path=reader.str(),
        headers=reader.map(reader.str, reader.str),
        body=reader.optional(reader.data),
        stream=reader.bool(),
    )


def _write_request_abort(writer: Writer, message: RequestAbort) -> None:
    writer.optional(message.actor_id, writer.str)
    writer.optional(message.actor_generation, writer.u32)
    write_abort_reason(writer, message.reason)


def _read_request_abort(reader: Reader) -> RequestAbort:
    return RequestAbort(reader.optional(reader.str), reader.optional(reader.u32), read_abort_reason(reader))


def _write_engine_open(writer: Writer, message: EngineWebSocketOpen) -> None:
    writer.str(message.actor_id)
    writer.optional(message.actor_generation, writer.u32)
    writer.str(message.path)
    writer.map(message.headers, writer.str, writer.str)


def _read_engine_open(reader: Reader) -> EngineWebSocketOpen:
    return EngineWebSocketOpen(
        actor_id=reader.str(),
        actor_generation=reader.optional(reader.u32),
        path=reader.str(),
        headers=reader.map(reader.str, reader.str),
    )


def _write_engine_open_v6(writer: Writer, message: EngineWebSocketOpen) -> None:
    writer.str(message.actor_id)
    writer.str(message.path)
    writer.map(message.headers, writer.str, writer.str)


def _read_engine_open_v6(reader: Reader) -> EngineWebSocketOpen:
    return EngineWebSocketOpen(reader.str(), reader.str(), reader.map(reader.str, reader.str))


_REQUEST_CHUNK = variant(
    RequestChunk, _write_chunk, lambda reader: RequestChunk(reader.data(), reader.bool())
)
_ENGINE_CLOSE = variant(
    EngineWebSocketClose,
    _write_close,
    lambda reader: EngineWebSocketClose(reader.optional(reader.u16), reader.optional(reader.str)),
)
_TO_ENVOY: dict[int, TaggedUnion[ToEnvoyTunnelKind]] = {
    8: TaggedUnion(
        "the tunnel to the host in version 8",
        variant(RequestStart, _write_request_start, _read_request_start),
        _REQUEST_CHUNK,
        variant(RequestAbort, _write_request_abort, _read_request_abort),
        bare_variant(RequestBodyCancel),
        variant(
            ResponseBodyWindowUpdate, _write_window, lambda reader: ResponseBodyWindowUpdate(reader.u64())
        ),
        variant(EngineWebSocketOpen, _write_engine_open, _read_engine_open),
        _SOCKET_MESSAGE,
        _ENGINE_CLOSE,
    ),
    6: TaggedUnion(
        "the tunnel to the host in version 6",
        variant(RequestStart, _write_request_start_v6, _read_request_start_v6),
        _REQUEST_CHUNK,
        bare_variant(RequestAbort),
        variant(EngineWebSocketOpen, _write_engine_open_v6, _read_engine_open_v6),
        _SOCKET_MESSAGE,
        _ENGINE_CLOSE,
    ),
}


def to_rivet_tunnel(version: int) -> Variant:
    """The tunnel message of hosts, in ``version``."""
    kinds = _TO_RIVET[version]

    def write(writer: Writer, message: ToRivetTunnel) -> None:
        write_message_id(writer, message.message_id)
        kinds.write(writer, message.kind)

    return variant(
        ToRivetTunnel, write, lambda reader: ToRivetTunnel(read_message_id(reader), kinds.read(reader))
    )


def to_envoy_tunnel(version: int) -> Variant:
    """The tunnel message of the engine, in ``version``."""
    kinds = _TO_ENVOY[version]

    def write(writer: Writer, message: ToEnvoyTunnel) -> None:
        write_message_id(writer, message.message_id)
        kinds.write(writer, message.kind)

    return variant(
        ToEnvoyTunnel, write, lambda reader: ToEnvoyTunnel(read_message_id(reader), kinds.read(reader))
    )
