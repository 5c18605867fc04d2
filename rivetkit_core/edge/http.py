"""HTTP routes of one actor: actions, queues, health and metadata (client-protocol 3).

Requests come with the gateway's prefix removed and their body read; answers go back whole. The caller
adds what belongs to the way there: CORS, ray ids, tokens.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from rivetkit_core._version import VERSION
from rivetkit_core.actor.task import ActorTask
from rivetkit_core.edge.errors import http_error
from rivetkit_core.edge.metrics import bearer
from rivetkit_core.errors import ActorSpecifier, ProtocolError, RivetError, error, status_of
from rivetkit_core.metrics.process import CONTENT_TYPE, actor_text
from rivetkit_core.wire.client_protocol import Codec
from rivetkit_core.wire.json_form import json_to_cbor
from rivetkit_core.wire.messages import Encoding

HEADERS = ("x-rivet-encoding", "x-rivet-conn-params", "authorization")
"""What ``serve_http`` reads of a request's headers."""

_BROKEN_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
_ENCODINGS = {encoding.value.encode(): encoding for encoding in Encoding}
_BANNER = "This is a RivetKit actor. Learn more in the documentation of rivetkit for Python.\n"


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request as the actor sees it. ``path`` is still percent-encoded; header names are lower case."""

    method: str
    path: str
    headers: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """One whole answer."""

    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


def content_type(encoding: Encoding) -> str:
    """JSON is labelled as such, everything else as bytes; clients tell error bodies apart by it."""
    return "application/json" if encoding is Encoding.JSON else "application/octet-stream"


def request_encoding(headers: Mapping[str, bytes]) -> Encoding:
    """``x-rivet-encoding``, compared exactly; anything else means JSON (client-protocol 2.1)."""
    return _ENCODINGS.get(headers.get("x-rivet-encoding", b""), Encoding.JSON)


def parse_params(text: str | None) -> bytes | None:
    """Connection parameters as CBOR, from their JSON text.

    Raises:
        RivetError: ``request.invalid``.
    """
    if text is None:
        return None
    try:
        return json_to_cbor(text)
    except ProtocolError as failure:
        raise error("request.invalid", reason=f"connection parameters: {failure.reason}") from None


def header_params(headers: Mapping[str, bytes]) -> bytes | None:
    """Connection parameters of an HTTP call; Latin-1 is accepted where a client could not write UTF-8."""
    raw = headers.get("x-rivet-conn-params")
    if raw is None:
        return None
    try:
        return parse_params(raw.decode("utf-8"))
    except UnicodeDecodeError:
        return parse_params(raw.decode("latin-1"))


async def serve_http(actor: ActorTask, request: HttpRequest) -> HttpResponse:
    """Answer one request; every failure becomes an answer."""
    codec = Codec(request_encoding(request.headers))
    try:
        with actor.metrics.task("http"):
            return await _route(actor, request, codec)
    except RivetError as failure:
        if failure.actor is None:
            failure.actor = actor.identity.specifier
        return error_response(failure, codec)


@lru_cache(maxsize=1024)
def actor_headers(specifier: ActorSpecifier) -> tuple[tuple[str, str], ...]:
    """What every answer of an actor says about it (client-protocol 1.6).

    Values are text, to be sent as UTF-8. A key that would break a header is left out.
    """
    headers = [
        ("x-rivet-actor", specifier.actor_id),
        ("x-rivet-actor-generation", str(specifier.generation)),
    ]
    if not any(character < " " or character == "\x7f" for character in specifier.key):
        headers.append(("x-rivet-actor-key", specifier.key.encode(errors="replace").decode()))
    return tuple(headers)


def error_response(failure: RivetError, codec: Codec) -> HttpResponse:
    """A masked error in the caller's encoding, with its status."""
    return HttpResponse(
        status_of(failure.group, failure.code),
        content_type(codec.encoding),
        codec.encode_http_error(http_error(failure)),
    )


async def _route(actor: ActorTask, request: HttpRequest, codec: Codec) -> HttpResponse:
    match request.path.split("/"):
        case ["", "action", name] if name:
            _require_method(request, "POST")
            return await _action(actor, _decode_name(name), request, codec)
        case ["", "queue", name] if name:
            _require_method(request, "POST")
            return await _queue_send(actor, _decode_name(name), request, codec)
        case ["", "metrics"]:
            _require_method(request, "GET")
            return _metrics(actor, request)
        case ["", "health"]:
            _require_method(request, "GET")
            return HttpResponse(200, "text/plain; charset=utf-8", b"ok")
        case ["", "metadata"]:
            _require_method(request, "GET")
            body = {"runtime": "rivetkit", "type": "local", "version": VERSION}
            return HttpResponse(200, "application/json", json.dumps(body).encode())
        case ["", ""]:
            _require_method(request, "GET")
            return HttpResponse(200, "text/plain; charset=utf-8", _BANNER.encode())
        case _:
            message = f"Actor route '{request.path}' was not found."
            raise error("actor.not_found", message, resource="route", id=request.path)


def _metrics(actor: ActorTask, request: HttpRequest) -> HttpResponse:
    if not actor.inspector_token.opens_metrics(bearer(request.headers.get("authorization"))):
        raise error("inspector.unauthorized")
    return HttpResponse(200, CONTENT_TYPE, actor_text(actor.metrics))


async def _action(actor: ActorTask, name: str, request: HttpRequest, codec: Codec) -> HttpResponse:
    config = actor.factory.config
    if len(request.body) > config.max_incoming_message_size:
        raise error("message.incoming_too_long")
    try:
        args = codec.decode_action_request(request.body)
    except ProtocolError as failure:
        raise error("request.invalid", reason=failure.reason) from None
    output = await actor.call(name, args, header_params(request.headers))
    body = codec.encode_action_response(output)
    if len(body) > config.max_outgoing_message_size:
        raise error("message.outgoing_too_long")
    return HttpResponse(200, content_type(codec.encoding), body)


async def _queue_send(actor: ActorTask, name: str, request: HttpRequest, codec: Codec) -> HttpResponse:
    config = actor.factory.config
    if len(request.body) > config.max_incoming_message_size:
        raise error("message.incoming_too_long")
    try:
        message = codec.decode_queue_request(request.body)
    except ProtocolError as failure:
        raise error("request.invalid", reason=failure.reason) from None
    answer = await actor.enqueue(name, message, header_params(request.headers))
    body = codec.encode_queue_response(answer)
    if len(body) > config.max_outgoing_message_size:
        raise error("message.outgoing_too_long")
    return HttpResponse(200, content_type(codec.encoding), body)


def _decode_name(segment: str) -> str:
    if _BROKEN_ESCAPE.search(segment):
        raise error("request.invalid", reason="the name has a broken percent escape")
    try:
        return unquote_to_bytes(segment).decode("utf-8")
    except UnicodeDecodeError:
        raise error("request.invalid", reason="the name is not UTF-8") from None


def _require_method(request: HttpRequest, method: str) -> None:
    if request.method != method:
        raise error("actor.method_not_allowed", method=request.method, path=request.path)
