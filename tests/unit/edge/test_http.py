"""HTTP routes of one actor (client-protocol 3 and 6)."""

from __future__ import annotations

import json

import pytest

from rivetkit_core.actor.connections import Connection
from rivetkit_core.actor.task import ActorTask
from rivetkit_core.config import ActorConfig
from rivetkit_core.edge.http import HttpRequest, HttpResponse, serve_http
from rivetkit_core.errors import UserError
from rivetkit_core.wire import cbor
from rivetkit_core.wire.client_protocol import Codec
from rivetkit_core.wire.messages import Encoding, HttpError
from tests.unit.actor.scripted import Script, Scripted, World


async def echo(_: Scripted, args: list[object]) -> object:
    return args


async def refuse(_: Scripted, _args: list[object]) -> object:
    raise UserError("no", code="refused", metadata={"a": 1})


async def actor(**config: int) -> ActorTask:
    script = Script(
        actions={"echo": echo, "a.b": echo, "a/b": echo, "refuse": refuse},
        config=ActorConfig.from_input(dict(config)),
    )
    return await World(script).started()


async def post(task: ActorTask, path: str, body: bytes, **headers: bytes) -> HttpResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await serve_http(task, HttpRequest("POST", path, named, body))


async def get(task: ActorTask, path: str, method: str = "GET") -> HttpResponse:
    return await serve_http(task, HttpRequest(method, path))


def failure(response: HttpResponse, encoding: Encoding = Encoding.JSON) -> HttpError:
    return Codec(encoding).decode_http_error(response.body)


def identity(response: HttpResponse) -> tuple[int, str]:
    known = failure(response)
    return response.status, f"{known.group}.{known.code}"


@pytest.mark.parametrize("encoding", list(Encoding))
async def test_an_action_answers_in_the_callers_encoding(encoding: Encoding) -> None:
    codec = Codec(encoding)
    body = codec.encode_action_request(cbor.encode([1, "two"]))
    response = await post(await actor(), "/action/echo", body, x_rivet_encoding=encoding.value.encode())
    assert response.status == 200
    assert cbor.decode(codec.decode_action_response(response.body)) == [1, "two"]
    assert response.content_type == (
        "application/json" if encoding is Encoding.JSON else "application/octet-stream"
    )


@pytest.mark.parametrize("named", [b"BARE", b"msgpack", b""])
async def test_an_unknown_encoding_means_json(named: bytes) -> None:
    response = await post(await actor(), "/action/echo", b'{"args":[1]}', x_rivet_encoding=named)
    assert json.loads(response.body) == {"output": [1]}


@pytest.mark.parametrize(
    ("body", "output"),
    [(b'{"args":null}', []), (b"{}", []), (b'{"args":5}', [5]), (b'{"args":[1],"more":2}', [1])],
)
async def test_arguments_are_made_an_array(body: bytes, output: list[object]) -> None:
    response = await post(await actor(), "/action/echo", body)
    assert json.loads(response.body) == {"output": output}


@pytest.mark.parametrize("path", ["/action/a.b", "/action/a%2Fb", "/action/%65cho"])
async def test_an_action_name_is_one_escaped_segment(path: str) -> None:
    assert (await post(await actor(), path, b"{}")).status == 200


@pytest.mark.parametrize("path", ["/action/%zz", "/action/echo%", "/action/%ff"])
async def test_a_broken_action_name_is_refused(path: str) -> None:
    assert identity(await post(await actor(), path, b"{}")) == (400, "request.invalid")


@pytest.mark.parametrize(
    "path",
    ["", "/action", "/action/", "/action/echo/", "/action/echo/more", "/nope", "/connect", "/health/", "//"],
)
async def test_an_unknown_route_is_named(path: str) -> None:
    response = await get(await actor(), path)
    assert identity(response) == (404, "actor.not_found")
    known = failure(response)
    assert known.message == f"Actor route '{path}' was not found."
    assert cbor.decode(known.metadata or b"") == {"resource": "route", "id": path}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/action/echo"),
        ("PUT", "/action/echo"),
        ("POST", "/health"),
        ("DELETE", "/metadata"),
        ("POST", "/"),
    ],
)
async def test_a_wrong_method_is_named(method: str, path: str) -> None:
    response = await get(await actor(), path, method)
    assert identity(response) == (405, "actor.method_not_allowed")
    assert cbor.decode(failure(response).metadata or b"") == {"method": method, "path": path}


async def test_health_and_banner_are_text() -> None:
    task = await actor()
    assert (await get(task, "/health")).body == b"ok"
    banner = await get(task, "/")
    assert banner.status == 200
    assert b"RivetKit actor" in banner.body


async def test_metadata_is_json() -> None:
    response = await get(await actor(), "/metadata")
    assert json.loads(response.body)["runtime"] == "rivetkit"


async def test_a_body_over_the_limit_is_refused_and_one_at_the_limit_is_not() -> None:
    body = b'{"args":["xxxxxxxx"]}'
    task = await actor(max_incoming_message_size=len(body))
    assert (await post(task, "/action/echo", body)).status == 200
    assert identity(await post(task, "/action/echo", body + b" ")) == (400, "message.incoming_too_long")


async def test_an_answer_over_the_limit_is_an_error() -> None:
    task = await actor(max_outgoing_message_size=50)
    response = await post(task, "/action/echo", json.dumps({"args": ["x" * 60]}).encode())
    assert identity(response) == (400, "message.outgoing_too_long")


@pytest.mark.parametrize("encoding", list(Encoding))
async def test_a_malformed_body_is_refused_in_the_callers_encoding(encoding: Encoding) -> None:
    name = encoding.value.encode()
    response = await post(await actor(), "/action/echo", b"\xff\x00", x_rivet_encoding=name)
    assert response.status == 400
    assert failure(response, encoding).code == "invalid"


async def test_errors_carry_metadata_and_the_actor() -> None:
    task = await actor()
    known = failure(await post(task, "/action/refuse", b"{}"))
    assert (known.group, known.code, known.message) == ("user", "refused", "no")
    assert cbor.decode(known.metadata or b"") == {"a": 1}
    assert known.actor == task.identity.specifier


async def test_an_unknown_action_is_404() -> None:
    assert identity(await post(await actor(), "/action/nope", b"{}")) == (404, "actor.action_not_found")


@pytest.mark.parametrize(
    ("header", "params"),
    [
        (b'{"name":"Ada"}', {"name": "Ada"}),
        ('{"name":"Zoë"}'.encode(), {"name": "Zoë"}),
        ('{"name":"Zoë"}'.encode("latin-1"), {"name": "Zoë"}),
        (b'{"name":"Zo\\u00eb"}', {"name": "Zoë"}),
        (b"null", None),
        (None, None),
    ],
)
async def test_connection_parameters_come_in_a_header(header: bytes | None, params: object) -> None:
    seen: list[object] = []

    async def note(_: Scripted, conn: Connection) -> None:
        seen.append(cbor.decode(conn.params))

    task = await World(Script(actions={"echo": echo}, conn_hooks={"on_connect": note})).started()
    headers = {} if header is None else {"x_rivet_conn_params": header}
    assert (await post(task, "/action/echo", b"{}", **headers)).status == 200
    assert seen == [params]


@pytest.mark.parametrize("header", [b"{", b"", b"\xff", b"NaN", b'"\\ud800"'])
async def test_malformed_connection_parameters_are_refused(header: bytes) -> None:
    response = await post(await actor(), "/action/echo", b"{}", x_rivet_conn_params=header)
    assert identity(response) == (400, "request.invalid")


async def test_a_connect_hook_may_refuse_a_call() -> None:
    async def forbid(_: Scripted, conn: Connection) -> None:
        raise UserError("members only", code="rejected")

    task = await World(Script(actions={"echo": echo}, conn_hooks={"before_connect": forbid})).started()
    assert failure(await post(task, "/action/echo", b"{}")).code == "rejected"
