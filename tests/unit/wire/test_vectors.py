"""Every golden vector of the client protocol, each by exactly one test.

JavaScript tells values apart that Python does not. Where that shows, a vector is read but written back in
Python's form: a bigint of at most 53 bits becomes a number, an ArrayBuffer a Uint8Array, a Map an object, a
typed array an array of numbers, a RegExp its text, an Error an object of name and message, NaN and the
infinities half-width floats, and a map head the shortest one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import cast

import pytest

from rivetkit_core.errors import ProtocolError, RivetError
from rivetkit_core.wire import actor_key, cbor, gateway_url, json_form, subprotocols
from rivetkit_core.wire.bare import Reader
from rivetkit_core.wire.client_protocol import Codec
from rivetkit_core.wire.messages import Encoding
from tests.unit.wire.vectors import ALL, Vector, decoded, wire

_taken: list[int] = []
Test = Callable[[Vector], None]


def each(matches: Callable[[Vector], bool]) -> Callable[[Test], Test]:
    """Parametrize a test with the vectors that match, and note that they have one."""
    indices = [index for index, vector in enumerate(ALL) if matches(vector)]
    _taken.extend(indices)
    ids = [
        re.sub(r"[^\w.]+", "-", f"{index}-{ALL[index]['encoding']}-{ALL[index]['name']}") for index in indices
    ]
    return pytest.mark.parametrize("vector", [ALL[index] for index in indices], ids=ids)


_MESSAGES = {
    "ToClient": "to_client",
    "Init": "to_client",
    "Error": "to_client",
    "ActionResponse": "to_client",
    "Event": "to_client",
    "ToServer": "to_server",
    "ActionRequest": "to_server",
    "SubscriptionRequest": "to_server",
    "HttpActionRequest": "action_request",
    "HttpActionResponse": "action_response",
    "HttpQueueSendRequest": "queue_request",
    "HttpQueueSendResponse": "queue_response",
    "HttpResponseError": "http_error",
}
# BARE options that JavaScript clients leave out and the message classes have a value for.
_FILLED_IN = ("HttpQueueSendRequest min", "Error actor nokey v4")


def message_of(vector: Vector) -> str | None:
    return _MESSAGES.get(vector["name"].split()[0])


def decode(vector: Vector, codec: Codec) -> object:
    method = cast("Callable[[bytes], object]", getattr(codec, f"decode_{message_of(vector)}"))
    return method(wire(vector))


def encode(vector: Vector, codec: Codec, message: object) -> bytes:
    method = cast("Callable[[object], bytes]", getattr(codec, f"encode_{message_of(vector)}"))
    return method(message)


def codec_for(vector: Vector) -> Codec:
    return Codec(Encoding(vector["encoding"]))


def is_frame(vector: Vector) -> bool:
    return vector["kind"] == "frame" and message_of(vector) is not None


def is_codec(vector: Vector) -> bool:
    return vector["kind"] == "codec" and message_of(vector) is not None


def is_unsupported(vector: Vector) -> bool:
    return "unsupported" in vector["name"]


def is_filled_in(vector: Vector) -> bool:
    return vector["name"].startswith(_FILLED_IN) and not is_unsupported(vector)


def is_byte_exact(vector: Vector) -> bool:
    """BARE, and the CBOR that servers write; JavaScript clients write maps with wide heads."""
    frame = is_frame(vector) and (
        vector["encoding"] == "bare"
        or (vector["encoding"] == "cbor" and vector["direction"] == "server->client")
    )
    return (frame or is_codec(vector)) and not is_unsupported(vector) and not is_filled_in(vector)


@each(is_byte_exact)
def test_a_frame_is_read_and_written_back_byte_for_byte(vector: Vector) -> None:
    codec = codec_for(vector)

    assert encode(vector, codec, decode(vector, codec)) == wire(vector)


@each(lambda vector: is_frame(vector) and vector["encoding"] == "json")
def test_a_json_frame_is_read_and_written_back_as_the_same_document(vector: Vector) -> None:
    codec = codec_for(vector)
    written = cast("dict[str, object]", json.loads(encode(vector, codec, decode(vector, codec))))
    expected = cast("dict[str, object]", json.loads(wire(vector)))
    if message_of(vector) == "queue_request":
        expected.setdefault("body", None)

    assert written == expected


@each(
    lambda vector: (
        is_frame(vector) and vector["encoding"] == "cbor" and vector["direction"] == "client->server"
    )
)
def test_a_cbor_request_is_read_and_survives_rewriting(vector: Vector) -> None:
    codec = codec_for(vector)
    message = decode(vector, codec)
    again = encode(vector, codec, message)

    assert decode(Vector({**vector, "hex": again.hex()}), codec) == message
    assert len(again) <= len(wire(vector))


@each(lambda vector: is_codec(vector) and is_filled_in(vector))
def test_a_bare_message_without_optional_fields_is_read(vector: Vector) -> None:
    codec = codec_for(vector)
    message = decode(vector, codec)

    assert decode(Vector({**vector, "hex": encode(vector, codec, message).hex()}), codec) == message


@each(lambda vector: is_codec(vector) and is_unsupported(vector))
def test_queue_messages_do_not_exist_before_version_three(vector: Vector) -> None:
    version = cast("int", decoded(vector)["version"])
    body = b"\x01\xf6\x00\x00\x00" if message_of(vector) == "queue_request" else b"\x09completed\x00"

    with pytest.raises(ProtocolError):
        decode(Vector({**vector, "hex": (version.to_bytes(2, "little") + body).hex()}), codec_for(vector))


@each(lambda vector: vector["name"].startswith("HttpResolveResponse"))
def test_the_unused_resolve_response_is_a_version_and_a_string(vector: Vector) -> None:
    reader = Reader(wire(vector))

    assert (reader.u16(), reader.str()) == (decoded(vector)["version"], "a1")
    reader.finish()


@each(lambda vector: vector["kind"] == "frame" and vector["name"].startswith("Close"))
def test_a_close_reason_on_the_wire_is_read(vector: Vector) -> None:
    reason = wire(vector).decode()
    parsed = subprotocols.parse_close_reason(reason)

    assert parsed is None if reason == "Disposed" else parsed == (*reason.split("."), None)


def to_javascript(value: object) -> object:
    """Describe a decoded value the way the vectors describe JavaScript values, as far as Python can tell."""
    match value:
        case cbor.UNDEFINED:
            return "undefined"
        case None:
            return "null"
        case bool():
            return f"boolean:{str(value).lower()}"
        case int() | float():
            return ("number", float(value) if abs(value) < 2**53 else value)
        case str():
            return f"string:{value}"
        case bytes():
            return ("bytes", value.hex())
        case list():
            return [to_javascript(item) for item in cast("list[object]", value)]
        case set():
            return {"Set": sorted(map(repr, map(to_javascript, cast("set[object]", value))))}
        case dict():
            entries = cast("dict[object, object]", value)
            return {str(key): to_javascript(item) for key, item in entries.items()}
        case _:
            stamp = json_form.value_to_json(value)
            return f"Date:{stamp}"


def from_description(description: object) -> object:
    """The same form, from the vector's description."""
    if isinstance(description, list):
        return [from_description(item) for item in cast("list[object]", description)]
    if isinstance(description, str):
        return _from_text(description)
    entries = cast("dict[str, object]", description)
    if list(entries) == ["Set"]:
        items = cast("list[object]", entries["Set"])
        return {"Set": sorted(repr(from_description(item)) for item in items)}
    if list(entries) == ["Map"]:
        pairs = cast("list[list[object]]", entries["Map"])
        return {str(key).partition(":")[2]: from_description(item) for key, item in pairs}
    return {key: from_description(item) for key, item in entries.items()}


def _from_text(description: str) -> object:
    kind, _, text = description.partition(":")
    match kind:
        case "number" if text in ("NaN", "Infinity", "-Infinity"):
            return ("number", float(text.replace("Infinity", "inf")))
        case "number":
            return ("number", float(text))
        case "bigint":
            value = int(text)
            return ("number", float(value) if abs(value) < 2**53 else value)
        case "Uint8Array" | "ArrayBuffer" | "Buffer":
            return ("bytes", text)
        case "RegExp":
            return f"string:{text}"
        case "Error":
            name, _, message = text.partition(":")
            return {"name": f"string:{name}", "message": f"string:{message}"}
        case _:
            return description


def is_value(vector: Vector, *encodings: str) -> bool:
    return vector["kind"] == "value" and vector["encoding"] in encodings


_JAVASCRIPT_ONLY = re.compile(r"(Ui|I)nt\d+Array|Float\d+Array|Uint8ClampedArray|Big(Ui|I)nt64Array")


def is_typed_array(vector: Vector) -> bool:
    return _JAVASCRIPT_ONLY.search(vector["name"]) is not None


def refused_by_javascript(vector: Vector) -> bool:
    """Unescaped ``$`` pairs of the raw encoder, and what the decoder itself gives up on."""
    result = decoded(vector).get("js_after_roundtrip")
    return bool(decoded(vector).get("error")) or (isinstance(result, dict) and "error" in result)


def is_unknown_tag(vector: Vector) -> bool:
    return wire(vector)[:2] in (b"\xd8\x23", b"\xd9\x03") and vector["name"].startswith("decode")


def is_readable(vector: Vector) -> bool:
    if not is_value(vector, "cbor-compat", "cbor-raw"):
        return False
    return not (is_typed_array(vector) or refused_by_javascript(vector) or is_unknown_tag(vector))


@each(is_readable)
def test_a_value_is_read_as_javascript_reads_it(vector: Vector) -> None:
    expected = decoded(vector).get("js_after_roundtrip", decoded(vector)["js"])
    if "TypeError" in vector["name"]:
        expected = decoded(vector)["js"]
    value = cbor.decode(wire(vector), undefined=cbor.UNDEFINED)

    assert repr(to_javascript(value)) == repr(from_description(expected))
    again = cbor.decode(cbor.encode(value), undefined=cbor.UNDEFINED)
    assert repr(to_javascript(again)) == repr(to_javascript(value))


@each(lambda vector: is_value(vector, "cbor-compat", "cbor-raw") and is_typed_array(vector))
def test_a_typed_array_becomes_a_list_of_numbers(vector: Vector) -> None:
    value = cbor.decode(wire(vector))

    assert isinstance(value, list)
    assert {type(item) for item in cast("list[object]", value)} <= {int, float}


@each(
    lambda vector: (
        is_value(vector, "cbor-compat", "cbor-raw")
        and (refused_by_javascript(vector) or is_unknown_tag(vector))
    )
)
def test_what_has_no_meaning_is_refused(vector: Vector) -> None:
    with pytest.raises(ProtocolError):
        cbor.decode(wire(vector))


@each(lambda vector: is_value(vector, "json"))
def test_a_json_value_survives_transcoding_both_ways(vector: Vector) -> None:
    document = cast("object", json.loads(wire(vector)))

    assert json.loads(json_form.cbor_to_json(json_form.json_to_cbor(wire(vector)))) == document
    assert json_form.value_to_json(json_form.json_to_value(document)) is not None


def test_compat_values_are_written_byte_for_byte_as_javascript_writes_them() -> None:
    exact = 0
    for vector in ALL:
        if is_readable(vector) and vector["encoding"] == "cbor-compat" and vector["direction"] == "js-encode":
            value = cbor.decode(wire(vector), undefined=cbor.UNDEFINED)
            exact += cbor.encode(value) == wire(vector)

    assert exact >= 55  # the rest differ as the head of this file says


@each(lambda vector: vector["kind"] == "key" and vector["direction"] == "serialize")
def test_a_key_has_these_text_forms(vector: Vector) -> None:
    fields = cast("dict[str, list[str]]", decoded(vector))
    key = tuple(fields["key"])
    as_query = tuple(fields["rvt_key_as_split_by_gateway"])

    assert actor_key.serialize(key) == wire(vector).decode()
    assert actor_key.deserialize(wire(vector).decode()) == tuple(fields["deserialized"])
    assert actor_key.to_query(key) == decoded(vector)["rvt_key_before_urlencoding"]
    assert actor_key.from_query(actor_key.to_query(key)) == as_query
    assert actor_key.fits_query(key) == (as_query == key)


@each(lambda vector: vector["kind"] == "key" and vector["direction"] == "deserialize")
def test_any_text_is_read_as_a_key(vector: Vector) -> None:
    expected = cast("list[str]", decoded(vector)["deserialized"])

    assert actor_key.deserialize(wire(vector).decode()) == tuple(expected)


LOCAL = "http://127.0.0.1:6420"


def build_urls() -> dict[str, str]:
    direct, query = gateway_url.direct_url, gateway_url.query_url
    prefixed = "https://h.example/api/rivet/"
    return {
        "url direct": direct(LOCAL, "abc", "/action/x"),
        "url direct token": direct(LOCAL, "a/b c", "/action/x?y=1", "t/ok@1"),
        "url get": query(
            LOCAL,
            "my actor/é",
            "/action/x",
            namespace="default",
            method="get",
            key=("a", "b c", "d&e", "f,g"),
        ),
        "url get empty key + path query": query(
            LOCAL, "c", "/request/p?x=1", namespace="default", method="get", token="tok"
        ),
        "url getOrCreate full": query(
            LOCAL,
            "c",
            "/connect",
            namespace="ns 1",
            method="getOrCreate",
            key=("k",),
            pool="pool",
            input=bytes.fromhex("b900016568656c6c6f01"),
            region="us",
            token="tok",
            skip_ready_wait=True,
        ),
        "url getOrCreate input null": query(
            LOCAL, "c", namespace="default", method="getOrCreate", key=("k",), input=cbor.NULL
        ),
        "url endpoint with path": direct(prefixed, "abc", "/action/x"),
        "url combine": gateway_url.manager_url(prefixed, "/actors", [("name", "a"), ("namespace", "n s")]),
    }


@each(lambda vector: vector["kind"] == "url" and "text" in vector and bool(vector.get("text")))
def test_a_url_is_built_as_the_typescript_client_builds_it(vector: Vector) -> None:
    assert build_urls()[vector["name"]] == wire(vector).decode()


@each(lambda vector: vector["kind"] == "url" and not vector.get("text"))
def test_an_input_too_long_for_a_url_is_refused(vector: Vector) -> None:
    assert "5003 > 4096" in str(decoded(vector)["error"])
    with pytest.raises(RivetError, match="4096"):
        gateway_url.query_url(LOCAL, "c", namespace="default", method="getOrCreate", input=bytes(5003))


@each(lambda vector: vector["kind"] == "closeReason")
def test_a_close_reason_is_parsed_as_the_typescript_client_parses_it(vector: Vector) -> None:
    expected = cast("dict[str, str] | None", vector["decoded"])
    fields = None if expected is None else (expected["group"], expected["code"], expected.get("rayId"))

    assert subprotocols.parse_close_reason(wire(vector).decode()) == fields


@each(lambda vector: vector["kind"] == "subprotocols")
def test_subprotocols_are_read_and_built_in_the_same_order(vector: Vector) -> None:
    options = subprotocols.parse([wire(vector).decode()])
    built = subprotocols.build(
        options.encoding,
        options.params_json,
        actor_id=options.actor_id,
        token=options.token,
        skip_ready_wait=options.skip_ready_wait,
    )

    assert options.offers_rivet
    assert built == vector["decoded"]


@each(lambda vector: vector["kind"] == "manager")
def test_manager_bodies_are_plain_json(vector: Vector) -> None:
    """The manager API belongs to the gateway and the client; here only its keys and errors are read."""
    document = cast("dict[str, object]", json_form.loads(wire(vector)))
    if "group" in document:
        assert Codec(Encoding.JSON).decode_http_error(wire(vector)).code == document["code"]
    if "runner_name_selector" in document:
        key = cast("str", document["key"])
        assert actor_key.serialize(actor_key.deserialize(key)) == key

    assert document == decoded(vector)["json"]


def test_every_vector_is_read_by_exactly_one_test() -> None:
    assert len(ALL) == 602
    assert sorted(_taken) == list(range(len(ALL)))
