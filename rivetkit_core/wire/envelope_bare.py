"""The client protocol in BARE (client-protocol 2.6): a u16 version, then the message.

    v1   Init carries a connectionToken
    v2   Init without it
    v3   adds the queue messages
    v4   adds the actor to errors

Payloads are opaque here. Bytes after a message are ignored, as every other implementation does.
"""

from __future__ import annotations

from rivetkit_core.errors import ActorSpecifier, ProtocolError
from rivetkit_core.wire.bare import Reader, Writer
from rivetkit_core.wire.messages import (
    PROTOCOL_VERSION,
    ActionRequest,
    ActionResponse,
    ErrorMessage,
    Event,
    HttpError,
    Init,
    QueueSendRequest,
    QueueSendResponse,
    SubscriptionRequest,
    ToClient,
    ToServer,
)
from rivetkit_core.wire.payload import as_arguments, checked_status

_QUEUES_SINCE = 3
_ACTOR_SINCE = 4


class BareEnvelope:
    """Writes ``version``; after a message of a lower version, that one."""

    def __init__(self, version: int) -> None:
        if not 1 <= version <= PROTOCOL_VERSION:
            raise ProtocolError(f"client protocol version {version} is unknown")
        self.version = version

    def encode_to_client(self, message: ToClient) -> bytes:
        writer = self._writer()
        match message:
            case Init():
                writer.u8(0)
                writer.str(message.actor_id)
                writer.str(message.connection_id)
                if self.version == 1:
                    writer.str("")
            case ErrorMessage():
                writer.u8(1)
                _write_failure(writer, message)
                writer.optional(message.action_id, writer.uint)
                self._write_actor(writer, message.actor)
            case ActionResponse():
                writer.u8(2)
                writer.uint(message.id)
                writer.data(message.output)
            case Event():
                writer.u8(3)
                writer.str(message.name)
                writer.data(message.args)
        return writer.finish()

    def decode_to_client(self, data: bytes) -> ToClient:
        reader, version = self._reader(data)
        match reader.u8():
            case 0:
                message = Init(reader.str(), reader.str())
                if version == 1:
                    reader.str()
                return message
            case 1:
                return ErrorMessage(
                    group=reader.str(),
                    code=reader.str(),
                    message=reader.str(),
                    metadata=reader.optional(reader.data),
                    action_id=reader.optional(reader.uint),
                    actor=_read_actor(reader, version),
                )
            case 2:
                return ActionResponse(reader.uint(), reader.data())
            case 3:
                return Event(reader.str(), as_arguments(reader.data()))
            case tag:
                raise ProtocolError(f"message type {tag} is unknown")

    def encode_to_server(self, message: ToServer) -> bytes:
        writer = self._writer()
        match message:
            case ActionRequest():
                writer.u8(0)
                writer.uint(message.id)
                writer.str(message.name)
                writer.data(message.args)
            case SubscriptionRequest():
                writer.u8(1)
                writer.str(message.event_name)
                writer.bool(message.subscribe)
        return writer.finish()

    def decode_to_server(self, data: bytes) -> ToServer:
        reader, _ = self._reader(data)
        match reader.u8():
            case 0:
                return ActionRequest(reader.uint(), reader.str(), as_arguments(reader.data()))
            case 1:
                return SubscriptionRequest(reader.str(), reader.bool())
            case tag:
                raise ProtocolError(f"message type {tag} is unknown")

    def encode_action_request(self, args: bytes) -> bytes:
        return self._encode_data(args)

    def decode_action_request(self, data: bytes) -> bytes:
        return as_arguments(self._reader(data)[0].data())

    def encode_action_response(self, output: bytes) -> bytes:
        return self._encode_data(output)

    def decode_action_response(self, data: bytes) -> bytes:
        return self._reader(data)[0].data()

    def encode_queue_request(self, request: QueueSendRequest) -> bytes:
        writer = self._writer(since=_QUEUES_SINCE)
        writer.data(request.body)
        writer.optional(request.name, writer.str)
        writer.optional(request.wait, writer.bool)
        writer.optional(request.timeout, writer.u64)
        return writer.finish()

    def decode_queue_request(self, data: bytes) -> QueueSendRequest:
        reader, _ = self._reader(data, since=_QUEUES_SINCE)
        return QueueSendRequest(
            body=reader.data(),
            name=reader.optional(reader.str),
            wait=reader.optional(reader.bool) or False,
            timeout=reader.optional(reader.u64),
        )

    def encode_queue_response(self, response: QueueSendResponse) -> bytes:
        writer = self._writer(since=_QUEUES_SINCE)
        writer.str(response.status)
        writer.optional(response.response, writer.data)
        return writer.finish()

    def decode_queue_response(self, data: bytes) -> QueueSendResponse:
        reader, _ = self._reader(data, since=_QUEUES_SINCE)
        return QueueSendResponse(checked_status(reader.str()), reader.optional(reader.data))

    def encode_http_error(self, failure: HttpError) -> bytes:
        writer = self._writer()
        _write_failure(writer, failure)
        self._write_actor(writer, failure.actor)
        return writer.finish()

    def decode_http_error(self, data: bytes) -> HttpError:
        reader, version = self._reader(data)
        return HttpError(
            group=reader.str(),
            code=reader.str(),
            message=reader.str(),
            metadata=reader.optional(reader.data),
            actor=_read_actor(reader, version),
        )

    def _encode_data(self, payload: bytes) -> bytes:
        writer = self._writer()
        writer.data(payload)
        return writer.finish()

    def _writer(self, since: int = 1) -> Writer:
        if self.version < since:
            raise ProtocolError(f"client protocol version {self.version} has no such message")
        writer = Writer()
        writer.u16(self.version)
        return writer

    def _reader(self, data: bytes, since: int = 1) -> tuple[Reader, int]:
        reader = Reader(data)
        version = reader.u16()
        if not since <= version <= PROTOCOL_VERSION:
            raise ProtocolError(f"client protocol version {version} is not supported here")
        self.version = min(self.version, version)
        return reader, version

    def _write_actor(self, writer: Writer, actor: ActorSpecifier | None) -> None:
        if self.version < _ACTOR_SINCE:
            return
        writer.bool(actor is not None)
        if actor is not None:
            writer.str(actor.actor_id)
            writer.uint(actor.generation)
            writer.optional(actor.key, writer.str)


def _write_failure(writer: Writer, failure: ErrorMessage | HttpError) -> None:
    writer.str(failure.group)
    writer.str(failure.code)
    writer.str(failure.message)
    writer.optional(failure.metadata, writer.data)


def _read_actor(reader: Reader, version: int) -> ActorSpecifier | None:
    if version < _ACTOR_SINCE or not reader.bool():
        return None
    return ActorSpecifier(reader.str(), reader.uint(), reader.optional(reader.str) or "")
