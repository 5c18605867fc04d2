from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivetkit_core.wire import actor_key, cbor, cbor_exact, json_form, persisted
from rivetkit_core.wire.client_protocol import Codec
from rivetkit_core.wire.compat import revive
from rivetkit_core.wire.messages import (
    Encoding,
    HttpError,
    QueueSendRequest,
    QueueSendResponse,
    ToClient,
    ToServer,
)
from tests.unit.wire import strategies as some

every_encoding = pytest.mark.parametrize("encoding", list(Encoding))


@given(some.values)
def test_a_value_survives_cbor(value: object) -> None:
    assert cbor.decode(cbor.encode(value)) == value


@given(some.values)
def test_encoding_is_deterministic_and_ends_where_the_scanner_says(value: object) -> None:
    data = cbor.encode(value)

    assert cbor.encode(cbor.decode(data)) == data
    assert cbor.item_end(data + b"\x00", 0) == len(data)


@given(some.values)
def test_both_decoders_agree(value: object) -> None:
    data = cbor.encode(value)

    assert cbor.decode(data) == revive(cbor_exact.decode_item(data), None)


@given(some.json_values)
def test_a_json_value_survives_json(value: object) -> None:
    assert json_form.json_to_value(json.loads(json_form.cbor_to_json(cbor.encode(value)))) == value


@given(some.values)
def test_compat_json_becomes_the_same_text_again(value: object) -> None:
    text = json_form.cbor_to_json(cbor.encode(value))

    assert json_form.cbor_to_json(json_form.json_to_cbor(text)) == text


@every_encoding
@given(message=some.to_client)
def test_a_message_to_a_client_survives(encoding: Encoding, message: ToClient) -> None:
    assert Codec(encoding).decode_to_client(Codec(encoding).encode_to_client(message)) == message


@every_encoding
@given(message=some.to_server)
def test_a_message_to_a_server_survives(encoding: Encoding, message: ToServer) -> None:
    assert Codec(encoding).decode_to_server(Codec(encoding).encode_to_server(message)) == message


@every_encoding
@given(args=some.arguments, output=some.payloads)
def test_an_action_survives(encoding: Encoding, args: bytes, output: bytes) -> None:
    codec = Codec(encoding)

    assert codec.decode_action_request(codec.encode_action_request(args)) == args
    assert codec.decode_action_response(codec.encode_action_response(output)) == output


@every_encoding
@given(request=some.queue_requests, response=some.queue_responses)
def test_a_queue_send_survives(
    encoding: Encoding, request: QueueSendRequest, response: QueueSendResponse
) -> None:
    codec = Codec(encoding)

    assert codec.decode_queue_request(codec.encode_queue_request(request)) == request
    assert codec.decode_queue_response(codec.encode_queue_response(response)) == response


@every_encoding
@given(failure=some.http_errors)
def test_an_http_error_survives(encoding: Encoding, failure: HttpError) -> None:
    codec = Codec(encoding)

    assert codec.decode_http_error(codec.encode_http_error(failure)) == failure


@given(st.lists(some.texts).map(tuple))
def test_a_key_survives(key: actor_key.Key) -> None:
    assert actor_key.deserialize(actor_key.serialize(key)) == key


events = st.builds(
    persisted.ScheduleEvent, some.texts, some.i64, some.texts, st.none() | st.binary(max_size=9)
)
actors = st.builds(
    persisted.ActorRecord,
    st.none() | st.binary(),
    st.booleans(),
    st.binary(),
    st.lists(events, max_size=3).map(tuple),
)
u16 = st.integers(0, 2**16 - 1)
four = st.binary(min_size=4, max_size=4)
conns = st.builds(
    persisted.ConnRecord,
    some.texts,
    st.binary(),
    st.binary(),
    st.lists(some.texts, max_size=3).map(tuple),
    four,
    four,
    u16,
    u16,
    some.texts,
    st.dictionaries(some.texts, some.texts, max_size=3),
)
queue_messages = st.builds(
    persisted.QueueMessage,
    some.texts,
    st.binary(),
    some.i64,
    st.none() | st.integers(0, 2**32 - 1),
    st.none() | some.i64,
    st.none() | st.booleans(),
    st.none() | some.i64,
)


@given(actors)
def test_an_actor_record_survives(record: persisted.ActorRecord) -> None:
    assert persisted.decode_actor(persisted.encode_actor(record)) == record


@given(conns)
def test_a_connection_record_survives(record: persisted.ConnRecord) -> None:
    assert persisted.decode_conn(persisted.encode_conn(record)) == record


@given(queue_messages)
def test_a_queue_message_survives(record: persisted.QueueMessage) -> None:
    assert persisted.decode_queue_message(persisted.encode_queue_message(record)) == record


@given(some.u64, st.integers(0, 2**32 - 1), st.none() | some.i64)
def test_queue_metadata_and_alarm_survive(next_id: int, size: int, alarm: int | None) -> None:
    metadata = persisted.QueueMetadata(next_id, size)

    assert persisted.decode_queue_metadata(persisted.encode_queue_metadata(metadata)) == metadata
    assert persisted.decode_last_alarm(persisted.encode_last_alarm(alarm)) == alarm
