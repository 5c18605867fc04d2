"""The client protocol in JSON (client-protocol 2.3, 4.3, 6.1).

Payloads are transcoded: CBOR inside, JSON text outside. Ids are written as ``["$BigInt", "7"]``, the one
form the TypeScript client takes, and read in that form or as a plain number.
"""

from __future__ import annotations

from typing import cast

from rivetkit_core.errors import ActorSpecifier, ProtocolError
from rivetkit_core.wire import cbor
from rivetkit_core.wire.bare import U64_MAX
from rivetkit_core.wire.json_form import cbor_to_json, dumps, loads
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
from rivetkit_core.wire.payload import as_arguments, checked_status, checked_timeout

Fields = dict[str, object]
Texts = dict[str, str]


class JsonEnvelope:
    """Stateless; a class because the three encodings share one interface."""

    def encode_to_client(self, message: ToClient) -> bytes:
        match message:
            case Init():
                texts = {
                    "actorId": dumps(message.actor_id),
                    "connectionId": dumps(message.connection_id),
                }
                return _frame("Init", texts)
            case ErrorMessage():
                action_id = "null" if message.action_id is None else _big(message.action_id)
                return _frame("Error", {"actionId": action_id, **_failure(message)})
            case ActionResponse():
                return _frame(
                    "ActionResponse", {"id": _big(message.id), "output": cbor_to_json(message.output)}
                )
            case Event():
                return _frame("Event", {"args": cbor_to_json(message.args), "name": dumps(message.name)})

    def decode_to_client(self, data: bytes) -> ToClient:
        tag, fields = _open_frame(data)
        match tag:
            case "Init":
                return Init(_text(fields, "actorId"), _text(fields, "connectionId"))
            case "Error":
                action_id = fields.get("actionId")
                return ErrorMessage(
                    group=_text(fields, "group"),
                    code=_text(fields, "code"),
                    message=_text(fields, "message"),
                    metadata=_optional_payload(fields, "metadata"),
                    action_id=None if action_id is None else _unsigned(action_id),
                    actor=_actor(fields),
                )
            case "ActionResponse":
                return ActionResponse(_unsigned(_required(fields, "id")), _payload(fields, "output"))
            case "Event":
                return Event(_text(fields, "name"), as_arguments(_payload(fields, "args")))
            case _:
                raise ProtocolError(f"message type {tag[:32]!r} is unknown")

    def encode_to_server(self, message: ToServer) -> bytes:
        match message:
            case ActionRequest():
                texts = {
                    "id": _big(message.id),
                    "name": dumps(message.name),
                    "args": cbor_to_json(message.args),
                }
                return _frame("ActionRequest", texts)
            case SubscriptionRequest():
                texts = {"eventName": dumps(message.event_name), "subscribe": dumps(message.subscribe)}
                return _frame("SubscriptionRequest", texts)

    def decode_to_server(self, data: bytes) -> ToServer:
        tag, fields = _open_frame(data)
        match tag:
            case "ActionRequest":
                return ActionRequest(
                    id=_unsigned(_required(fields, "id")),
                    name=_text(fields, "name"),
                    args=as_arguments(_payload(fields, "args")),
                )
            case "SubscriptionRequest":
                return SubscriptionRequest(_text(fields, "eventName"), _flag(_required(fields, "subscribe")))
            case _:
                raise ProtocolError(f"message type {tag[:32]!r} is unknown")

    def encode_action_request(self, args: bytes) -> bytes:
        return _object({"args": cbor_to_json(args)})

    def decode_action_request(self, data: bytes) -> bytes:
        return as_arguments(cbor.encode_compat(_body(data).get("args")))

    def encode_action_response(self, output: bytes) -> bytes:
        return _object({"output": cbor_to_json(output)})

    def decode_action_response(self, data: bytes) -> bytes:
        return _payload(_body(data), "output")

    def encode_queue_request(self, request: QueueSendRequest) -> bytes:
        texts = {"body": cbor_to_json(request.body)}
        if request.name is not None:
            texts["name"] = dumps(request.name)
        texts["wait"] = dumps(request.wait)
        if request.timeout is not None:
            texts["timeout"] = dumps(request.timeout)
        return _object(texts)

    def decode_queue_request(self, data: bytes) -> QueueSendRequest:
        fields = _body(data)
        wait, timeout = fields.get("wait"), fields.get("timeout")
        return QueueSendRequest(
            body=cbor.encode_compat(fields.get("body")),
            name=None if fields.get("name") is None else _text(fields, "name"),
            wait=False if wait is None else _flag(wait),
            timeout=None if timeout is None else checked_timeout(timeout),
        )

    def encode_queue_response(self, response: QueueSendResponse) -> bytes:
        texts = {} if response.response is None else {"response": cbor_to_json(response.response)}
        return _object(texts | {"status": dumps(response.status)})

    def decode_queue_response(self, data: bytes) -> QueueSendResponse:
        fields = _body(data)
        response = _payload(fields, "response") if "response" in fields else None
        return QueueSendResponse(checked_status(_text(fields, "status")), response)

    def encode_http_error(self, failure: HttpError) -> bytes:
        return _object(_failure(failure))

    def decode_http_error(self, data: bytes) -> HttpError:
        fields = _body(data)
        return HttpError(
            group=_text(fields, "group"),
            code=_text(fields, "code"),
            message=_text(fields, "message"),
            metadata=_optional_payload(fields, "metadata"),
            actor=_actor(fields),
        )


def _object(texts: Texts) -> bytes:
    """A JSON object whose values are JSON texts already."""
    entries = (f'"{key}":{text}' for key, text in texts.items())
    return f"{{{','.join(entries)}}}".encode()


def _frame(tag: str, texts: Texts) -> bytes:
    return b'{"body":{"tag":"%s","val":%s}}' % (tag.encode(), _object(texts))


def _big(value: int) -> str:
    if not 0 <= value <= U64_MAX:
        raise ProtocolError(f"id {value} is out of range")
    return f'["$BigInt","{value}"]'


def _failure(failure: ErrorMessage | HttpError) -> Texts:
    texts: Texts = {}
    if failure.actor is not None:
        actor = failure.actor
        texts["actor"] = dumps({"actorId": actor.actor_id, "generation": actor.generation, "key": actor.key})
    texts["code"] = dumps(failure.code)
    texts["group"] = dumps(failure.group)
    texts["message"] = dumps(failure.message)
    if failure.metadata is not None:
        texts["metadata"] = cbor_to_json(failure.metadata)
    return texts


def _fields(value: object) -> Fields:
    if not isinstance(value, dict):
        raise ProtocolError("an object is missing")
    return cast("Fields", value)


def _body(data: bytes) -> Fields:
    return _fields(loads(data))


def _open_frame(data: bytes) -> tuple[str, Fields]:
    body = _fields(_required(_body(data), "body"))
    return _text(body, "tag"), _fields(_required(body, "val"))


def _required(fields: Fields, name: str) -> object:
    if name not in fields:
        raise ProtocolError(f"field {name} is missing")
    return fields[name]


def _payload(fields: Fields, name: str) -> bytes:
    return cbor.encode_compat(_required(fields, name))


def _optional_payload(fields: Fields, name: str) -> bytes | None:
    return None if fields.get(name) is None else _payload(fields, name)


def _text(fields: Fields, name: str) -> str:
    value = _required(fields, name)
    if not isinstance(value, str):
        raise ProtocolError(f"field {name} is not text")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ProtocolError("a flag is neither true nor false")
    return value


def _unsigned(value: object) -> int:
    match value:
        case ["$BigInt", str() as digits] if digits.isascii() and digits.isdigit() and len(digits) <= 20:
            value = int(digits)
        case _:
            pass
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= U64_MAX:
        raise ProtocolError("an id is not an unsigned 64-bit integer")
    return value


def _actor(fields: Fields) -> ActorSpecifier | None:
    if fields.get("actor") is None:
        return None
    entries = _fields(fields["actor"])
    return ActorSpecifier(
        actor_id=_text(entries, "actorId"),
        generation=_unsigned(_required(entries, "generation")),
        key="" if entries.get("key") is None else _text(entries, "key"),
    )
