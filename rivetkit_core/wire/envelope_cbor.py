"""The client protocol in CBOR (client-protocol 4.3, 6.1): maps around payload bytes.

Payloads are spliced in and cut out as bytes; cutting only looks for their end. Keys are written in the
order and integers in the width of the reference server: ids take eight bytes, because a JavaScript client
reads those, and only those, as bigint.
"""

from __future__ import annotations

from rivetkit_core.errors import ActorSpecifier, ProtocolError
from rivetkit_core.wire import cbor, cbor_scan
from rivetkit_core.wire.bare import U64_MAX
from rivetkit_core.wire.messages import (
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
from rivetkit_core.wire.payload import as_arguments, checked_status, checked_timeout, is_nothing

Fields = dict[str, bytes]


class CborEnvelope:
    """Stateless; a class because the three encodings share one interface."""

    def encode_to_client(self, message: ToClient) -> bytes:
        match message:
            case Init():
                fields = {
                    "actorId": cbor.encode(message.actor_id),
                    "connectionId": cbor.encode(message.connection_id),
                }
                return _frame("Init", fields)
            case ErrorMessage():
                return _frame("Error", _error_fields(message))
            case ActionResponse():
                return _frame("ActionResponse", {"id": _wide(message.id), "output": message.output})
            case Event():
                return _frame("Event", {"name": cbor.encode(message.name), "args": message.args})

    def decode_to_client(self, data: bytes) -> ToClient:
        tag, fields = _open_frame(data)
        match tag:
            case "Init":
                return Init(_text(fields, "actorId"), _text(fields, "connectionId"))
            case "Error":
                return ErrorMessage(
                    group=_text(fields, "group"),
                    code=_text(fields, "code"),
                    message=_text(fields, "message"),
                    metadata=_optional(fields, "metadata"),
                    action_id=_optional_unsigned(fields, "actionId"),
                    actor=_actor(fields),
                )
            case "ActionResponse":
                return ActionResponse(_unsigned(_required(fields, "id")), _required(fields, "output"))
            case "Event":
                return Event(_text(fields, "name"), as_arguments(_required(fields, "args")))
            case _:
                raise ProtocolError(f"message type {tag[:32]!r} is unknown")

    def encode_to_server(self, message: ToServer) -> bytes:
        match message:
            case ActionRequest():
                fields = {
                    "id": _wide(message.id),
                    "name": cbor.encode(message.name),
                    "args": message.args,
                }
                return _frame("ActionRequest", fields)
            case SubscriptionRequest():
                fields = {
                    "eventName": cbor.encode(message.event_name),
                    "subscribe": cbor.encode(message.subscribe),
                }
                return _frame("SubscriptionRequest", fields)

    def decode_to_server(self, data: bytes) -> ToServer:
        tag, fields = _open_frame(data)
        match tag:
            case "ActionRequest":
                return ActionRequest(
                    id=_unsigned(_required(fields, "id")),
                    name=_text(fields, "name"),
                    args=as_arguments(_required(fields, "args")),
                )
            case "SubscriptionRequest":
                return SubscriptionRequest(_text(fields, "eventName"), _flag(_required(fields, "subscribe")))
            case _:
                raise ProtocolError(f"message type {tag[:32]!r} is unknown")

    def encode_action_request(self, args: bytes) -> bytes:
        return _map({"args": args})

    def decode_action_request(self, data: bytes) -> bytes:
        return as_arguments(_body(data).get("args", cbor.NULL))

    def encode_action_response(self, output: bytes) -> bytes:
        return _map({"output": output})

    def decode_action_response(self, data: bytes) -> bytes:
        return _required(_body(data), "output")

    def encode_queue_request(self, request: QueueSendRequest) -> bytes:
        fields = {"body": request.body}
        if request.name is not None:
            fields["name"] = cbor.encode(request.name)
        fields["wait"] = cbor.encode(request.wait)
        if request.timeout is not None:
            fields["timeout"] = cbor.encode(request.timeout)
        return _map(fields)

    def decode_queue_request(self, data: bytes) -> QueueSendRequest:
        fields = _body(data)
        body = fields.get("body", cbor.NULL)
        wait = _optional(fields, "wait")
        return QueueSendRequest(
            body=body,
            name=None if _optional(fields, "name") is None else _text(fields, "name"),
            wait=False if wait is None else _flag(wait),
            timeout=_timeout(fields),
        )

    def encode_queue_response(self, response: QueueSendResponse) -> bytes:
        fields = {} if response.response is None else {"response": response.response}
        return _map(fields | {"status": cbor.encode(response.status)})

    def decode_queue_response(self, data: bytes) -> QueueSendResponse:
        fields = _body(data)
        return QueueSendResponse(checked_status(_text(fields, "status")), fields.get("response"))

    def encode_http_error(self, failure: HttpError) -> bytes:
        fields: Fields = {}
        if failure.actor is not None:
            fields["actor"] = _actor_map(failure.actor, cbor.encode(failure.actor.generation))
        fields["code"] = cbor.encode(failure.code)
        fields["group"] = cbor.encode(failure.group)
        fields["message"] = cbor.encode(failure.message)
        if failure.metadata is not None:
            fields["metadata"] = failure.metadata
        return _map(fields)

    def decode_http_error(self, data: bytes) -> HttpError:
        fields = _body(data)
        return HttpError(
            group=_text(fields, "group"),
            code=_text(fields, "code"),
            message=_text(fields, "message"),
            metadata=_optional(fields, "metadata"),
            actor=_actor(fields),
        )


def _map(fields: Fields) -> bytes:
    """A map of at most 23 entries whose values are encoded already."""
    parts = [bytes([0xA0 + len(fields)])]
    for key, value in fields.items():
        parts += (cbor.encode(key), value)
    return b"".join(parts)


def _frame(tag: str, fields: Fields) -> bytes:
    return _map({"body": _map({"tag": cbor.encode(tag), "val": _map(fields)})})


def _wide(value: int) -> bytes:
    if not 0 <= value <= U64_MAX:
        raise ProtocolError(f"id {value} is out of range")
    return b"\x1b" + value.to_bytes(8, "big")


def _error_fields(message: ErrorMessage) -> Fields:
    fields = {
        "group": cbor.encode(message.group),
        "code": cbor.encode(message.code),
        "message": cbor.encode(message.message),
    }
    if message.metadata is not None:
        fields["metadata"] = message.metadata
    if message.actor is not None:
        fields["actor"] = _actor_map(message.actor, _wide(message.actor.generation))
    fields["actionId"] = cbor.NULL if message.action_id is None else _wide(message.action_id)
    return fields


def _actor_map(actor: ActorSpecifier, generation: bytes) -> bytes:
    return _map(
        {"actorId": cbor.encode(actor.actor_id), "generation": generation, "key": cbor.encode(actor.key)}
    )


class _Cutter:
    """Cuts the values out of a map, following one chain of keys into nested maps.

    ``levels`` has the entries of the outer map, then those of each map along the chain. Every byte is
    looked at once, however deep a payload lies.
    """

    def __init__(self, data: bytes, chain: tuple[str, ...]) -> None:
        self._data = data
        self._chain = chain
        self.levels: list[Fields] = []

    def read(self, position: int, depth: int = 0) -> int:
        """Read the map at ``position``; returns where it ends."""
        major, count, position = cbor_scan.head(self._data, position)
        if major != cbor_scan.MAP:
            raise ProtocolError("a map is missing")
        del self.levels[depth:]
        fields: Fields = {}
        self.levels.append(fields)
        following = self._chain[depth] if depth < len(self._chain) else None
        read = 0
        while read != count:
            if count == cbor_scan.INDEFINITE and cbor_scan.at_break(self._data, position):
                return position + 1
            key, position = self._key(position)
            if key is not None and key == following:
                position = self.read(position, depth + 1)
            else:
                start, position = position, cbor_scan.item_end(self._data, position)
                if key is not None:
                    fields[key] = self._data[start:position]
            read += 1
        return position

    def _key(self, position: int) -> tuple[str | None, int]:
        """A key and the position after it; None for a key that is not text, whose entry means nothing."""
        end = cbor_scan.item_end(self._data, position)
        major, _, start = cbor_scan.head(self._data, position)
        if major != cbor_scan.TEXT:
            return None, end
        return self._data[start:end].decode(errors="replace"), end


def _cut(data: bytes, *chain: str) -> list[Fields]:
    cutter = _Cutter(data, chain)
    if cutter.read(0) != len(data):
        raise ProtocolError("bytes after the message")
    if len(cutter.levels) <= len(chain):
        raise ProtocolError(f"field {chain[len(cutter.levels) - 1]} is missing")
    return cutter.levels


def _body(data: bytes) -> Fields:
    return _cut(data)[0]


def _open_frame(data: bytes) -> tuple[str, Fields]:
    _, body, fields = _cut(data, "body", "val")
    return _text(body, "tag"), fields


def _required(fields: Fields, name: str) -> bytes:
    if name not in fields:
        raise ProtocolError(f"field {name} is missing")
    return fields[name]


def _optional(fields: Fields, name: str) -> bytes | None:
    payload = fields.get(name)
    return None if payload is None or is_nothing(payload) else payload


def _text(fields: Fields, name: str) -> str:
    value = cbor.decode(_required(fields, name))
    if not isinstance(value, str):
        raise ProtocolError(f"field {name} is not text")
    return value


def _flag(payload: bytes) -> bool:
    value = cbor.decode(payload)
    if not isinstance(value, bool):
        raise ProtocolError("a flag is neither true nor false")
    return value


def _unsigned(payload: bytes) -> int:
    """An id: an unsigned integer of any width, or a positive bignum as Swift sends it."""
    value = cbor.decode(payload) if payload[0] >> 5 == cbor_scan.UNSIGNED or payload[0] == _BIGNUM else None
    if not isinstance(value, int) or value > U64_MAX:
        raise ProtocolError("an id is not an unsigned 64-bit integer")
    return value


_BIGNUM = 0xC2


def _optional_unsigned(fields: Fields, name: str) -> int | None:
    payload = _optional(fields, name)
    return None if payload is None else _unsigned(payload)


def _timeout(fields: Fields) -> int | None:
    payload = _optional(fields, "timeout")
    return None if payload is None else checked_timeout(cbor.decode(payload))


def _actor(fields: Fields) -> ActorSpecifier | None:
    payload = _optional(fields, "actor")
    if payload is None:
        return None
    entries = _body(payload)
    return ActorSpecifier(
        actor_id=_text(entries, "actorId"),
        generation=_unsigned(_required(entries, "generation")),
        key="" if _optional(entries, "key") is None else _text(entries, "key"),
    )
