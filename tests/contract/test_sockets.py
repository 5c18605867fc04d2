"""Connections over websockets (client-protocol 1.5, 4)."""

from __future__ import annotations

import json

import pytest
from websockets.asyncio.client import connect

from rivetkit_core.wire.messages import Encoding
from tests.contract.actors import Probe
from tests.contract.client import RawClient, by_id, by_key, offers
from tests.contract.hosts import UNKNOWN_ID, Differences, embedded_only
from tests.contract.serving import Serving

WIRES = [
    (Encoding.JSON, 4),
    (Encoding.CBOR, 4),
    (Encoding.BARE, 1),
    (Encoding.BARE, 2),
    (Encoding.BARE, 3),
    (Encoding.BARE, 4),
]


# --- handshake ----------------------------------------------------------------------------------------


async def test_rivet_is_the_protocol_that_is_selected(client: RawClient) -> None:
    async with client.connect(by_key("counter", "a")) as socket:
        assert socket.socket.subprotocol == "rivet"
        await socket.init()


@embedded_only("the engine selects a protocol that was not offered, which clients refuse")
async def test_a_client_that_does_not_offer_rivet_is_served_without_it(client: RawClient) -> None:
    async with client.connect(by_key("counter", "a"), marker=False) as socket:
        assert socket.socket.subprotocol is None
        await socket.init()


@embedded_only("the engine selects a protocol that was not offered, which clients refuse")
async def test_no_subprotocols_at_all_mean_json(client: RawClient) -> None:
    url = client.ws_url + client.url(by_key("counter", "a"), "/connect")
    async with connect(url, proxy=None) as socket:
        assert json.loads(await socket.recv())["body"]["tag"] == "Init"


async def test_the_101_has_cors_headers_a_ray_id_and_no_extensions(client: RawClient) -> None:
    async with client.connect(by_key("counter", "a"), headers={"origin": "https://example.org"}) as socket:
        assert socket.socket.response is not None
        headers = socket.socket.response.headers
        assert headers["access-control-allow-origin"] == "https://example.org"
        assert headers["access-control-allow-credentials"] == "true"
        assert headers["access-control-expose-headers"] == "*"
        assert headers["x-rivet-ray-id"]
        assert "sec-websocket-extensions" not in headers


async def test_an_unknown_encoding_is_closed_with_1003(client: RawClient) -> None:
    url = client.ws_url + client.url(by_key("counter", "a"), "/connect")
    async with connect(url, subprotocols=offers("rivet", "rivet_encoding.xml"), proxy=None) as socket:
        await socket.wait_closed()
        assert (socket.close_code, socket.close_reason) == (1003, "actor.unsupported_websocket_encoding")


@pytest.mark.parametrize("params", ["%7B", "nope", "", "%ff", "%22%ff%22"])
async def test_malformed_parameters_are_closed_with_1011(client: RawClient, params: str) -> None:
    async with client.connect(by_key("counter", "a"), f"rivet_conn_params.{params}") as socket:
        assert await socket.ended() == (1011, "request.invalid")


@pytest.mark.parametrize("params", [{"a": [1, "ä+ ()"]}, "text", 0, []])
async def test_parameters_reach_the_actor(client: RawClient, params: object) -> None:
    async with client.connect(by_key("counter", "a"), params=params) as socket:
        await socket.init()
        assert await socket.call(0, "params") == params


async def test_parameters_of_200_kb_reach_the_actor(client: RawClient) -> None:
    async with client.connect(by_key("counter", "a"), params="x" * 200_000) as socket:
        await socket.init()
        assert await socket.call(0, "params") == "x" * 200_000


async def test_subprotocols_in_any_order_and_the_first_of_a_kind_wins(client: RawClient) -> None:
    url = client.ws_url + client.url(by_key("counter", "a"), "/connect")
    tokens = offers("rivet_conn_params.1", "rivet_encoding.cbor", "rivet_encoding.json", "rivet")
    async with connect(url, subprotocols=tokens, proxy=None) as socket:
        assert isinstance(await socket.recv(), bytes)


# --- routing ------------------------------------------------------------------------------------------


async def test_a_direct_url_connects(client: RawClient) -> None:
    actor_id = await client.id_of(by_key("counter", "a"))
    async with client.connect(by_id(actor_id)) as socket:
        assert (await socket.init()).actor_id == actor_id


async def test_subprotocols_can_name_the_actor(client: RawClient) -> None:
    actor_id = await client.id_of(by_key("counter", "a"))
    tokens = ("rivet_target.actor", f"rivet_actor.{actor_id}", "rivet_skip_ready_wait")
    async with client.connect("/connect", *tokens) as socket:
        assert (await socket.init()).actor_id == actor_id


async def test_a_path_goes_before_subprotocols(client: RawClient) -> None:
    tokens = ("rivet_target.actor", "rivet_actor.somebody-else")
    async with client.connect(by_key("counter", "a"), *tokens) as socket:
        await socket.init()


@pytest.mark.parametrize(
    ("path", "tokens", "identity"),
    [
        (f"/gateway/{UNKNOWN_ID}/connect", (), "actor.not_found"),
        ("/gateway/counter/connect?rvt-namespace=NAMESPACE", (), "guard.query_invalid_params"),
        (
            "/gateway/counter/connect?rvt-namespace=other&rvt-method=get",
            (),
            "namespace.not_found",
        ),
        ("/gateway/counter/connect?rvt-namespace=NAMESPACE&rvt-method=get&rvt-key=x", (), "actor.not_found"),
        ("/connect", ("rivet_target.actor", f"rivet_actor.{UNKNOWN_ID}"), "actor.not_found"),
        ("/connect", ("rivet_target.actor",), "guard.missing_header"),
    ],
)
async def test_gateway_failures_are_told_after_the_101(
    client: RawClient, path: str, tokens: tuple[str, ...], identity: str
) -> None:
    async with client.connect(client.here(path), *tokens) as socket:
        code, reason = await socket.ended()
        assert socket.socket.response is not None
        ray = socket.socket.response.headers["x-rivet-ray-id"]
        assert (code, reason) == (1011, f"{identity}#{ray}")


@pytest.mark.parametrize("path", ["/connect", "/gateway//x/connect"])
async def test_a_websocket_that_names_no_actor_is_told_after_the_101(
    client: RawClient, differences: Differences, path: str
) -> None:
    async with client.connect(path) as socket:
        code, reason = await socket.ended()
        assert (code, reason.partition("#")[0]) == (1011, differences.no_route)


async def test_a_failing_start_is_told_after_the_101(
    client: RawClient, probe: Probe, differences: Differences
) -> None:
    probe.failing_starts = 1
    async with client.connect(by_key("broken", "a")) as socket:
        if differences.start_failure_is_a_message:
            failure = await socket.failure(None)
            assert (failure.group, failure.code, failure.message) == ("user", "broken", "cannot start")
        code, reason = await socket.ended()
        assert (code, reason.partition("#")[0]) == (1011, "user.broken")
    await client.gone("broken")


async def test_a_get_on_connect_is_not_found(client: RawClient) -> None:
    answer = await client.http.get(client.url(by_key("counter", "a"), "/connect"))
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


# --- messages -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("encoding", "version"), WIRES)
async def test_calls_and_events_in_every_encoding(
    client: RawClient, encoding: Encoding, version: int
) -> None:
    target = by_key("counter", "a")
    async with client.connect(target, encoding=encoding, version=version) as socket:
        await socket.init()
        await socket.subscribe("changed")
        await socket.request(2**40, "increment", 3)
        assert await socket.event() == ("changed", [3])
        assert await socket.answer(2**40) == 3
        await socket.subscribe("changed", on=False)
        assert await socket.call(0, "increment") == 4
        value = {"bytes": b"\0\xff", "text": "ä", "list": [1.5, None, -1]}
        assert await socket.call(1, "echo", value) == value


@pytest.mark.parametrize(("encoding", "version"), WIRES)
async def test_failed_calls_are_answered_and_the_connection_lives(
    client: RawClient, encoding: Encoding, version: int
) -> None:
    async with client.connect(by_key("counter", "a"), encoding=encoding, version=version) as socket:
        actor_id = (await socket.init()).actor_id
        await socket.request(7, "refuse")
        failure = await socket.failure(7)
        assert (failure.group, failure.code, failure.message) == ("user", "no", "not today")
        if version == 4:
            assert failure.actor is not None
            assert (failure.actor.actor_id, failure.actor.key) == (actor_id, "a")
        await socket.request(8, "crash")
        failure = await socket.failure(8)
        assert (failure.group, failure.code) == ("rivetkit", "internal_error")
        assert "secret" not in failure.message
        await socket.request(9, "nope")
        assert (await socket.failure(9)).code == "action_not_found"
        assert await socket.call(10, "get") == 0


@pytest.mark.parametrize(
    ("encoding", "kind"), [(Encoding.JSON, str), (Encoding.CBOR, bytes), (Encoding.BARE, bytes)]
)
async def test_json_travels_as_text_and_the_others_as_binary(
    client: RawClient, encoding: Encoding, kind: type
) -> None:
    async with client.connect(by_key("counter", "a"), encoding=encoding) as socket:
        assert isinstance(await socket.receive_frame(), kind)


async def test_json_in_a_binary_frame_is_understood(client: RawClient) -> None:
    async with client.connect(by_key("counter", "a")) as socket:
        await socket.init()
        request: object = {"body": {"tag": "ActionRequest", "val": {"id": 3, "name": "get", "args": []}}}
        await socket.socket.send(json.dumps(request).encode())
        assert await socket.answer(3) == 0


async def test_the_first_message_is_init_with_ids(client: RawClient) -> None:
    target = by_key("counter", "a")
    async with client.connect(target) as first, client.connect(target) as second:
        one, two = await first.init(), await second.init()
        assert one.actor_id == two.actor_id
        assert one.connection_id != two.connection_id


async def test_what_is_sent_before_init_is_answered_after_it(client: RawClient) -> None:
    async with client.connect(by_key("counter", "a")) as socket:
        await socket.request(1, "get")
        await socket.init()
        assert await socket.answer(1) == 0


async def test_answers_may_overtake_each_other(client: RawClient, probe: Probe) -> None:
    async with client.connect(by_key("counter", "a")) as socket:
        await socket.init()
        await socket.request(1, "hold")
        await probe.entered.wait()
        assert await socket.call(2, "get") == 0
        probe.gate.set()
        assert await socket.answer(1) == "held"


async def test_two_calls_with_one_id_get_two_answers(client: RawClient) -> None:
    async with client.connect(by_key("counter", "a")) as socket:
        await socket.init()
        await socket.request(1, "get")
        await socket.request(1, "get")
        assert [await socket.answer(1), await socket.answer(1)] == [0, 0]


async def test_events_reach_subscribers_only(client: RawClient) -> None:
    target = by_key("counter", "a")
    async with client.connect(target) as listener, client.connect(target) as deaf:
        await listener.init()
        await deaf.init()
        await listener.subscribe("changed")
        assert await listener.call(1, "get") == 0
        await client.call(target, "increment")
        assert await listener.event() == ("changed", [1])
        assert await deaf.call(1, "get") == 1


@pytest.mark.parametrize(
    "frame",
    [
        "{",
        "[]",
        b"\xff",
        '{"body":{"tag":"Nope","val":{}}}',
        '{"body":{"tag":"ActionRequest","val":{"id":"1","name":"get","args":[]}}}',
        '{"body":{"tag":"ActionRequest","val":{"id":-1,"name":"get","args":[]}}}',
        '{"body":{"tag":"ActionRequest","val":{"id":1,"name":"get"}}}',
    ],
)
async def test_a_frame_that_cannot_be_understood_closes_with_1011(
    client: RawClient, frame: str | bytes
) -> None:
    async with client.connect(by_key("counter", "a")) as socket:
        await socket.init()
        await socket.socket.send(frame)
        assert await socket.ended() == (1011, "actor.invalid_request")


async def test_a_frame_of_64_kib_is_the_longest(client: RawClient) -> None:
    def frame(size: int) -> str:
        head = '{"body":{"tag":"ActionRequest","val":{"id":1,"name":"repeat","args":["'
        tail = '",1]}}}'
        return head + "x" * (size - len(head) - len(tail)) + tail

    async with client.connect(by_key("counter", "a")) as socket:
        await socket.init()
        await socket.socket.send(frame(65_536))
        assert isinstance(await socket.answer(1), str)
        await socket.socket.send(frame(65_537))
        assert await socket.ended() == (1011, "message.incoming_too_long")


async def test_an_answer_that_is_too_long_fails_the_call_only(client: RawClient) -> None:
    async with client.connect(by_key("counter", "a")) as socket:
        await socket.init()
        await socket.request(1, "repeat", "x", 1_048_576)
        failure = await socket.failure(1)
        assert (failure.group, failure.code, failure.actor) == ("message", "outgoing_too_long", None)
        assert await socket.call(2, "get") == 0


# --- ends ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "identity"), [("intruder", "auth.forbidden"), ("clumsy", "rivetkit.internal_error")]
)
async def test_a_refused_connection_gets_the_error_and_1011(
    client: RawClient, params: str, identity: str
) -> None:
    async with client.connect(by_key("picky", "a"), params=params) as socket:
        failure = await socket.failure(None)
        assert f"{failure.group}.{failure.code}" == identity
        assert failure.actor is None
        assert "secret" not in failure.message
        assert await socket.ended() == (1011, identity)


@pytest.mark.parametrize("reason", ["", "enough for today", "ä" * 100])
async def test_an_actor_may_disconnect_with_a_reason(client: RawClient, reason: str) -> None:
    async with client.connect(by_key("counter", "a")) as socket:
        await socket.init()
        await socket.request(1, "kick", reason)
        assert await socket.ended() == (1000, reason[:61])


async def test_destroy_closes_with_1000_and_no_reason(client: RawClient) -> None:
    target = by_key("counter", "a")
    async with client.connect(target) as socket:
        actor_id = (await socket.init()).actor_id
        await client.manage("DELETE", f"/actors/{actor_id}")
        assert await socket.ended() == (1000, "")


async def test_an_actor_that_destroys_itself_closes_with_1000(client: RawClient) -> None:
    async with client.connect(by_key("counter", "a")) as socket:
        await socket.init()
        assert await socket.call(1, "bye") is None
        assert await socket.ended() == (1000, "")


@embedded_only("the engine keeps the websockets for the next process")
async def test_a_shutdown_closes_with_1001(host: Serving) -> None:
    async with host.client.connect(by_key("counter", "a")) as socket:
        await socket.init()
        stopping = host.begin_stop()
        assert await socket.ended() == (1001, "ws.going_away")
        await stopping


async def test_a_client_that_leaves_is_noticed(client: RawClient, probe: Probe) -> None:
    async with client.connect(by_key("counter", "a")) as socket:
        await socket.init()
    await probe.disconnected.wait()


async def test_a_client_that_breaks_off_is_noticed(client: RawClient, probe: Probe) -> None:
    async with client.connect(by_key("counter", "a")) as socket:
        await socket.init()
        socket.socket.transport.abort()
        await probe.disconnected.wait()


async def test_a_client_that_leaves_does_not_stop_its_calls(client: RawClient, probe: Probe) -> None:
    target = by_key("counter", "a")
    async with client.connect(target) as socket:
        await socket.init()
        await socket.request(1, "hold_and_increment")
        await probe.entered.wait()
    await probe.disconnected.wait()
    probe.gate.set()
    while await client.call(target, "get") != 1:
        pass
