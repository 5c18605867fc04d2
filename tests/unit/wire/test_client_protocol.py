from __future__ import annotations

import pytest

from rivetkit_core.errors import ProtocolError
from rivetkit_core.wire import cbor, json_form, subprotocols
from rivetkit_core.wire.client_protocol import Codec
from rivetkit_core.wire.messages import ActionRequest, ActionResponse, Encoding, HttpError, Init


def cbor_request(entries: str) -> bytes:
    """A CBOR ActionRequest whose ``val`` has these entries."""
    return bytes.fromhex("a164626f6479a2637461676d416374696f6e526571756573746376616c" + entries)


@pytest.mark.parametrize(
    "identifier", ["07", "1807", "190007", "1a00000007", "1b0000000000000007", "c24107", "c2420007"]
)
def test_a_cbor_id_may_have_any_unsigned_width(identifier: str) -> None:
    frame = cbor_request("a3626964" + identifier + "646e616d6561786461726773f6")

    assert Codec(Encoding.CBOR).decode_to_server(frame) == ActionRequest(7, "x", cbor.EMPTY_ARRAY)


@pytest.mark.parametrize(
    "identifier", ["26", "fb401c000000000000", "6137", "f6", "c249010000000000000000", "f5"]
)
def test_a_cbor_id_of_another_type_is_refused(identifier: str) -> None:
    with pytest.raises(ProtocolError):
        Codec(Encoding.CBOR).decode_to_server(
            cbor_request("a3626964" + identifier + "646e616d6561786461726773f6")
        )


@pytest.mark.parametrize(
    ("identifier", "accepted"),
    [
        ("7", True),
        ('["$BigInt","7"]', True),
        ('"7"', False),
        ("-7", False),
        ("7.0", False),
        ("true", False),
        ('["$BigInt","-7"]', False),
        ("null", False),
    ],
)
def test_a_json_id_is_a_number_or_a_bigint(identifier: str, accepted: bool) -> None:
    frame = f'{{"body":{{"tag":"ActionRequest","val":{{"id":{identifier},"name":"x","args":[]}}}}}}'.encode()
    codec = Codec(Encoding.JSON)

    if accepted:
        assert codec.decode_to_server(frame) == ActionRequest(7, "x", cbor.EMPTY_ARRAY)
    else:
        with pytest.raises(ProtocolError):
            codec.decode_to_server(frame)


@pytest.mark.parametrize(
    ("body", "args"),
    [
        ("a0", "80"),
        ("a16461726773f6", "80"),
        ("a16461726773f7", "80"),
        ("a1646172677305", "8105"),
        ("a16461726773a0", "81a0"),
        ("a16461726773820102", "820102"),
        ("bf61780164617267739f01ffff", "9f01ff"),
    ],
)
def test_arguments_of_a_call_become_an_array(body: str, args: str) -> None:
    assert Codec(Encoding.CBOR).decode_action_request(bytes.fromhex(body)).hex() == args


@pytest.mark.parametrize(("body", "args"), [("{}", "80"), ('{"args":null}', "80"), ('{"args":5}', "8105")])
def test_json_arguments_become_an_array(body: str, args: str) -> None:
    assert Codec(Encoding.JSON).decode_action_request(body.encode()).hex() == args


def test_a_connection_message_without_arguments_is_malformed() -> None:
    with pytest.raises(ProtocolError, match="args"):
        Codec(Encoding.CBOR).decode_to_server(cbor_request("a262696407646e616d656178"))


def test_a_codec_answers_in_the_version_of_its_peer() -> None:
    codec = Codec(Encoding.BARE)
    codec.decode_to_server(bytes.fromhex("01000102657601"))

    assert codec.encode_to_client(Init("a1", "c1")).hex() == "01000002613102633100"
    assert codec.encode_to_client(ActionResponse(128, b"\x05")).hex() == "01000280010105"


@pytest.mark.parametrize("version", [0, 5])
def test_unknown_versions_are_refused(version: int) -> None:
    with pytest.raises(ProtocolError):
        Codec(Encoding.BARE, version)
    with pytest.raises(ProtocolError):
        Codec(Encoding.BARE).decode_to_server(bytes([version, 0]) + bytes.fromhex("0102657601"))


def test_bytes_after_a_bare_message_are_ignored() -> None:
    codec = Codec(Encoding.BARE)

    assert codec.decode_http_error(codec.encode_http_error(HttpError("g", "c", "m")) + b"x") == HttpError(
        "g", "c", "m"
    )


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '"\\ud800"', "", "[1,]", "\ufeff1", "'a'"])
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError):
        json_form.json_to_cbor(text)


def test_nan_becomes_null_and_a_date_its_text_in_json() -> None:
    data = bytes.fromhex("83f97e00f97c00c1fb41d954fc4007df3b")

    assert json_form.cbor_to_json(data) == '[null,null,"2023-11-14T22:13:20.123Z"]'


def test_a_close_reason_is_cut_between_characters() -> None:
    reason = subprotocols.close_reason("gg" + "é" * 80, "c", "ray")

    assert len(reason.encode()) == 122
    assert subprotocols.close_reason("actor", "not_found", "r1") == "actor.not_found#r1"


def test_the_first_subprotocol_of_a_kind_wins() -> None:
    options = subprotocols.parse(
        ["rivet_encoding.cbor , rivet", "rivet_encoding.json, rivet_conn_params.a+b%2B"]
    )

    assert (options.offers_rivet, options.encoding, options.params_json) == (True, "cbor", "a b+")


def test_parentheses_are_escaped_in_a_subprotocol() -> None:
    assert subprotocols.build("bare", "(~)")[-1] == "rivet_conn_params.%28~%29"
