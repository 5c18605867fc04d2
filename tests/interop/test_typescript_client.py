"""The unmodified TypeScript client against our actors on either host, in each of its encodings.

Behaviour is client-protocol sections 4 to 7. Where the client itself loses a value before sending it
(section 2.2), the test leaves that encoding out.
"""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime

import pytest

from tests.interop.driver import Received, TypescriptClient, TypescriptConnection, TypescriptError
from tests.interop.server import ServerProcess
from tests.interop.values import UNDEFINED, BigInt

pytestmark = pytest.mark.interop

NEW_YEAR = datetime(2024, 1, 1, 12, 30, 15, 250_000, tzinfo=UTC)
SAFE_INTEGER = 2**53 - 1
OUTGOING_LIMIT = 1_048_576
INCOMING_LIMIT = 65_536


# Values


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="null"),
        pytest.param(True, id="true"),
        pytest.param(0, id="zero"),
        pytest.param(-(2**31), id="negative"),
        pytest.param(2**32, id="beyond-32-bits"),
        pytest.param(SAFE_INTEGER, id="largest-safe-integer"),
        pytest.param(-SAFE_INTEGER, id="smallest-safe-integer"),
        pytest.param(0.1, id="fraction"),
        pytest.param(1e300, id="huge-float"),
        pytest.param("", id="empty-text"),
        pytest.param("grüße 漢字 🎲 \x00", id="unicode"),
        pytest.param([], id="empty-list"),
        pytest.param([1, [2, [3, [None]]]], id="nested-lists"),
        pytest.param({}, id="empty-object"),
        pytest.param({"a": {"b": [True, "c"]}, "ü": 1, "": 2}, id="nested-objects"),
        pytest.param(["$", 1, 2], id="a-dollar-in-a-longer-list"),
        pytest.param([1, "$Foo"], id="a-dollar-in-second-place"),
    ],
)
async def test_a_plain_value_comes_back_as_it_was(
    client: TypescriptClient, fresh: str, value: object
) -> None:
    result = await client.get_or_create("echo", fresh).call("echo", value)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(BigInt(2**53), id="just-unsafe"),
        pytest.param(BigInt(2**64 - 1), id="64-bits"),
        pytest.param(BigInt(-(2**200)), id="200-bits"),
        pytest.param(b"", id="no-bytes"),
        pytest.param(bytes(range(256)), id="bytes"),
        pytest.param({"deep": [b"\x01", BigInt(2**70)]}, id="nested"),
    ],
)
async def test_a_bigint_or_bytes_comes_back_as_it_was(
    client: TypescriptClient, fresh: str, value: object
) -> None:
    assert await client.get_or_create("echo", fresh).call("echo", value) == value


@pytest.mark.parametrize("encoding", ["json", "bare"], indirect=True)
@pytest.mark.parametrize("value", [["$Foo", 1], ["$$Foo", 1], ["$", 1], [["$BigInt", "1"]]])
async def test_a_list_that_looks_like_a_tag_comes_back_as_it_was(
    client: TypescriptClient, fresh: str, value: object
) -> None:
    assert await client.get_or_create("echo", fresh).call("echo", value) == value


@pytest.mark.parametrize("encoding", ["cbor", "bare"], indirect=True)
@pytest.mark.parametrize("value", [math.inf, -math.inf])
async def test_an_infinity_survives_cbor(client: TypescriptClient, fresh: str, value: float) -> None:
    assert await client.get_or_create("echo", fresh).call("echo", value) == value


async def test_nothing_is_null(client: TypescriptClient, fresh: str) -> None:
    assert await client.get_or_create("echo", fresh).call("nothing") is None


async def test_arguments_of_any_spelling_are_one_array(client: TypescriptClient, fresh: str) -> None:
    echo = client.get_or_create("echo", fresh)
    assert await echo.call("add", 2) == 3
    assert await echo.call("add", 2, 40) == 42
    assert await echo.call("shout", "ä") == "Ä"


async def test_a_model_is_an_object(client: TypescriptClient, fresh: str) -> None:
    echo = client.get_or_create("echo", fresh)
    assert await echo.call("shift", {"x": 1, "y": 2}, 10) == {"x": 11, "y": 12}


async def test_typed_bytes_are_a_byte_array(client: TypescriptClient, fresh: str) -> None:
    assert await client.get_or_create("echo", fresh).call("reverse", b"\x01\x02\x03") == b"\x03\x02\x01"


async def test_a_datetime_is_a_date_where_the_encoding_has_one(client: TypescriptClient, fresh: str) -> None:
    result = await client.get_or_create("echo", fresh).call("day_after", NEW_YEAR)
    expected: object = NEW_YEAR.replace(day=2)
    assert result == ("2024-01-02T12:30:15.250Z" if client.encoding == "json" else expected)


@pytest.mark.parametrize("encoding", ["cbor", "bare"], indirect=True)
async def test_a_set_is_a_set(client: TypescriptClient, fresh: str) -> None:
    assert await client.get_or_create("echo", fresh).call("union", {1, 2}, {2, 3}) == {1, 2, 3}


async def test_a_list_is_accepted_for_a_set_and_a_set_returned(client: TypescriptClient, fresh: str) -> None:
    assert await client.get_or_create("echo", fresh).call("union", [1, 2], [2, 3]) == {1, 2, 3}


async def test_an_int_that_outgrows_a_number_is_a_bigint(client: TypescriptClient, fresh: str) -> None:
    echo = client.get_or_create("echo", fresh)
    assert await echo.call("square", 2**20) == 2**40
    result = await echo.call("square", BigInt(2**60))
    assert result == 2**120
    assert type(result) is BigInt


async def test_an_action_of_a_group_has_a_dotted_name(client: TypescriptClient, fresh: str) -> None:
    echo = client.get_or_create("echo", fresh)
    assert await echo.call("nested.inner.deep", 7) == [fresh, 7]


# Failures


async def test_a_user_error_arrives_whole(client: TypescriptClient, fresh: str) -> None:
    echo = client.get_or_create("echo", fresh)
    with pytest.raises(TypescriptError) as failure:
        await echo.call("refuse")
    assert failure.value.identity == "user.bad_thing"
    assert failure.value.message == "bad thing"
    assert failure.value.metadata == {"field": "x", "n": 3}


async def test_an_error_names_the_actor(client: TypescriptClient, fresh: str) -> None:
    echo = client.get_or_create("echo", fresh)
    with pytest.raises(TypescriptError) as failure:
        await echo.call("refuse")
    actor = failure.value.actor
    assert isinstance(actor, dict)
    assert actor == {"actorId": await echo.resolve(), "generation": 1, "key": fresh}


async def test_an_unexpected_exception_is_masked(client: TypescriptClient, fresh: str) -> None:
    with pytest.raises(TypescriptError) as failure:
        await client.get_or_create("echo", fresh).call("crash")
    assert failure.value.identity == "rivetkit.internal_error"
    assert failure.value.message == "An internal error occurred"
    assert "swordfish" not in str(failure.value.metadata)


async def test_an_unknown_action_is_named(client: TypescriptClient, fresh: str) -> None:
    with pytest.raises(TypescriptError, match="`no such action`") as failure:
        await client.get_or_create("echo", fresh).call("no such action")
    assert failure.value.identity == "actor.action_not_found"


@pytest.mark.parametrize(
    "args",
    [
        pytest.param((), id="too-few"),
        pytest.param((1, 2, 3), id="too-many"),
        pytest.param(("one",), id="wrong-type"),
        pytest.param((1.5,), id="fraction-for-an-int"),
        pytest.param((None,), id="null"),
    ],
)
async def test_wrong_arguments_are_refused(
    client: TypescriptClient, fresh: str, args: tuple[object, ...]
) -> None:
    with pytest.raises(TypescriptError) as failure:
        await client.get_or_create("echo", fresh).call("add", *args)
    assert failure.value.identity == "actor.validation_error"


async def test_a_large_result_fits_up_to_the_limit(client: TypescriptClient, fresh: str) -> None:
    echo = client.get_or_create("echo", fresh)
    size = OUTGOING_LIMIT - 100
    assert await echo.call("large", size) == "x" * size


async def test_a_result_beyond_the_limit_is_an_error(client: TypescriptClient, fresh: str) -> None:
    with pytest.raises(TypescriptError) as failure:
        await client.get_or_create("echo", fresh).call("large", OUTGOING_LIMIT + 1)
    assert failure.value.identity == "message.outgoing_too_long"


async def test_a_request_beyond_the_limit_is_an_error(client: TypescriptClient, fresh: str) -> None:
    with pytest.raises(TypescriptError) as failure:
        await client.get_or_create("echo", fresh).call("echo", "x" * (INCOMING_LIMIT + 1))
    assert failure.value.identity == "message.incoming_too_long"


async def test_a_waiting_action_lets_others_run(client: TypescriptClient, fresh: str) -> None:
    echo = client.get_or_create("echo", fresh)
    async with asyncio.TaskGroup() as calls:
        waiting = calls.create_task(echo.call("wait"))
        assert await echo.call("add", 1) == 2
        await echo.call("release")
    assert waiting.result() == "released"


# Addressing


@pytest.mark.parametrize(
    "key",
    [
        pytest.param([], id="empty"),
        pytest.param(["ünï", "漢字 🎲"], id="unicode"),
        pytest.param(["a/b", "c\\d", "\\0"], id="slashes"),
        pytest.param(["a b", "50%", "x&y=z", "?#+"], id="url-characters"),
        pytest.param(["a", ""], id="empty-part-last"),
        pytest.param(["", "a"], id="empty-part-first"),
        pytest.param(["a", "", "b"], id="empty-part-between"),
    ],
)
async def test_an_actor_sees_the_key_it_was_called_by(client: TypescriptClient, key: list[str]) -> None:
    assert await client.get_or_create("echo", key).call("key") == key


@pytest.mark.parametrize("key", [["a,b"], [""], [",", ""]])
async def test_a_key_the_query_form_would_lose_survives_resolving(
    client: TypescriptClient, key: list[str]
) -> None:
    actor_id = await client.get_or_create("echo", key).resolve()
    assert await client.get_for_id("echo", actor_id).call("key") == key


async def test_a_comma_in_a_query_separates_parts(client: TypescriptClient, fresh: str) -> None:
    assert await client.get_or_create("echo", [f"{fresh},b"]).call("key") == [fresh, "b"]


async def test_a_key_is_one_actor_whatever_the_handle(client: TypescriptClient, fresh: str) -> None:
    created = client.get_or_create("counter", fresh)
    assert await created.call("increment", 3) == 3
    assert await client.get("counter", fresh).call("count") == 3
    by_id = client.get_for_id("counter", await created.resolve())
    assert await by_id.call("count") == 3
    assert await client.get("counter", fresh).resolve() == await created.resolve()


async def test_actors_of_different_names_do_not_share_a_key(client: TypescriptClient, fresh: str) -> None:
    counter = await client.get_or_create("counter", fresh).resolve()
    assert counter != await client.get_or_create("echo", fresh).resolve()


async def test_get_does_not_create(client: TypescriptClient, fresh: str) -> None:
    missing = client.get("counter", fresh)
    with pytest.raises(TypescriptError) as by_call:
        await missing.call("count")
    with pytest.raises(TypescriptError) as by_resolve:
        await missing.resolve()
    assert by_call.value.identity == by_resolve.value.identity == "actor.not_found"


async def test_create_refuses_a_key_in_use(
    client: TypescriptClient, server: ServerProcess, fresh: str
) -> None:
    existing = await client.create("counter", fresh)
    with pytest.raises(TypescriptError) as failure:
        await client.create("counter", fresh)
    # An engine gives either answer, whoever hosts the actor: the second actor's end may overtake its reason.
    either = {"actor.duplicate_key", "actor.destroyed_during_creation"}
    assert failure.value.identity in (either if server.place.is_engine else {"actor.duplicate_key"})
    assert await client.get("counter", fresh).resolve() == existing


async def test_an_unknown_id_is_not_found(client: TypescriptClient, fresh: str) -> None:
    known = await client.create("counter", fresh)
    changed = "b" if known[12] == "a" else "a"
    unknown = known[:12] + changed + known[13:]  # the engine wants to be able to read it
    with pytest.raises(TypescriptError) as failure:
        await client.get_for_id("counter", unknown).call("count")
    assert failure.value.identity == "actor.not_found"


async def test_a_destroyed_actor_is_gone_and_its_key_free(client: TypescriptClient, fresh: str) -> None:
    counter = client.get_or_create("counter", fresh)
    await counter.call("increment", 5)
    actor_id = await counter.resolve()
    await client.get_for_id("counter", actor_id).call("destroy")  # by id, the client waits until it is gone
    with pytest.raises(TypescriptError) as failure:
        await client.get_for_id("counter", actor_id).call("count")
    assert failure.value.identity == "actor.not_found"
    assert await client.get_or_create("counter", fresh).call("count") == 0


async def test_the_gateway_url_is_on_our_server(
    client: TypescriptClient, server_endpoint: str, fresh: str
) -> None:
    url = await client.get_or_create("counter", fresh).gateway_url()
    assert url.startswith(f"{server_endpoint}/gateway/counter?")


# Input


async def test_one_input_value_is_handed_over_whole(client: TypescriptClient, fresh: str) -> None:
    assert await client.get_or_create("counter", fresh, input=100).call("count") == 100


async def test_input_counts_only_when_the_actor_is_created(client: TypescriptClient, fresh: str) -> None:
    await client.create("counter", fresh, input=7)
    assert await client.get_or_create("counter", fresh, input=100).call("count") == 7


async def test_input_of_several_fields_is_an_object(client: TypescriptClient, fresh: str) -> None:
    params = {"name": "Ada"}
    room = client.get_or_create("room", fresh, params=params, input={"title": "Lobby"})
    assert await room.call("describe") == {"title": "Lobby", "limit": 10}


# Connections


async def test_actions_work_over_a_connection(client: TypescriptClient, fresh: str) -> None:
    connection = await client.get_or_create("echo", fresh).connect()
    assert await connection.status() == "connected"
    assert await connection.call("shift", {"x": 1, "y": 2}, 1) == {"x": 2, "y": 3}
    assert await connection.call("reverse", b"\x01\x02") == b"\x02\x01"
    assert await connection.call("square", BigInt(2**60)) == 2**120
    assert await connection.call("nested.inner.deep", None) == [fresh, None]
    assert await connection.call("nothing") is None


async def test_a_failed_action_leaves_the_connection_open(client: TypescriptClient, fresh: str) -> None:
    connection = await client.get_or_create("echo", fresh).connect()
    with pytest.raises(TypescriptError) as failure:
        await connection.call("refuse")
    assert failure.value.identity == "user.bad_thing"
    assert failure.value.metadata == {"field": "x", "n": 3}
    with pytest.raises(TypescriptError) as too_long:
        await connection.call("large", OUTGOING_LIMIT + 1)
    assert too_long.value.identity == "message.outgoing_too_long"
    with pytest.raises(TypescriptError) as masked:
        await connection.call("crash")
    assert masked.value.identity == "rivetkit.internal_error"
    assert await connection.call("add", 1) == 2


async def test_replies_overtake_a_slow_one(client: TypescriptClient, fresh: str) -> None:
    connection = await client.get_or_create("echo", fresh).connect()
    async with asyncio.TaskGroup() as calls:
        waiting = calls.create_task(connection.call("wait"))
        assert await connection.call("add", 1) == 2
        await connection.call("release")
    assert waiting.result() == "released"


async def test_a_listener_receives_events_before_the_reply(client: TypescriptClient, fresh: str) -> None:
    connection = await client.get_or_create("counter", fresh).connect()
    await connection.on("changed")
    await connection.call("increment", 2)
    assert connection.events.get_nowait() == Received("changed", (2,))
    assert connection.events.empty()


async def test_a_tuple_payload_is_several_arguments(client: TypescriptClient, fresh: str) -> None:
    connection = await client.get_or_create("counter", fresh).connect()
    await connection.on("moved")
    await connection.call("increment", -3)
    assert await connection.next_event() == Received("moved", (-3, "down"))


async def test_every_subscriber_hears_what_one_client_causes(client: TypescriptClient, fresh: str) -> None:
    counter = client.get_or_create("counter", fresh)
    listener = await subscribed(await counter.connect(), "changed")
    await counter.call("increment", 4)
    assert await listener.next_event() == Received("changed", (4,))


async def test_once_hears_once(client: TypescriptClient, fresh: str) -> None:
    connection = await client.get_or_create("counter", fresh).connect()
    await connection.once("changed")
    await connection.call("increment")
    await connection.call("increment")
    assert await connection.next_event() == Received("changed", (1,))
    assert connection.events.empty()


async def test_after_off_nothing_is_heard(client: TypescriptClient, fresh: str) -> None:
    connection = await client.get_or_create("counter", fresh).connect()
    listener = await connection.on("changed")
    await connection.call("increment")
    await connection.off(listener)
    await connection.call("increment")
    assert await connection.next_event() == Received("changed", (1,))
    assert connection.events.empty()


async def test_parameters_tell_connections_apart(client: TypescriptClient, fresh: str) -> None:
    ada = await client.get_or_create("room", fresh, params={"name": "Ada"}).connect()
    grace = await client.get_or_create("room", fresh, params={"name": "Grëce 漢"}).connect()
    await subscribed(ada, "said")
    await grace.call("say", "hello")
    assert await ada.next_event() == Received("said", ({"author": "Grëce 漢", "text": "hello"},))
    assert await ada.call("name") == "Ada"


async def test_each_connection_has_its_own_state(client: TypescriptClient, fresh: str) -> None:
    room = client.get_or_create("room", fresh, params={"name": "Ada"})
    first, second = await room.connect(), await room.connect()
    assert [await first.call("count_calls") for _ in range(3)] == [1, 2, 3]
    assert await second.call("count_calls") == 1


async def test_each_http_call_is_a_connection_of_its_own(client: TypescriptClient, fresh: str) -> None:
    room = client.get_or_create("room", fresh, params={"name": "Ada"})
    assert await room.call("name") == "Ada"
    assert [await room.call("count_calls") for _ in range(2)] == [1, 1]


async def test_an_event_can_be_for_one_connection(client: TypescriptClient, fresh: str) -> None:
    room = client.get_or_create("room", fresh, params={"name": "Ada"})
    caller, bystander = await room.connect(), await room.connect()
    await subscribed(caller, "whispered")
    await subscribed(bystander, "whispered")
    await caller.call("whisper", "psst")
    assert await caller.next_event() == Received("whispered", ("psst",))
    await bystander.call("name")
    assert bystander.events.empty()


@pytest.mark.parametrize(
    ("name", "identity", "metadata"),
    [
        pytest.param("taken", "user.name_taken", {"name": "taken"}, id="user-error"),
        pytest.param("banned", "auth.forbidden", UNDEFINED, id="forbidden"),
    ],
)
async def test_a_hook_refuses_a_call(
    client: TypescriptClient, fresh: str, name: str, identity: str, metadata: object
) -> None:
    with pytest.raises(TypescriptError) as failure:
        await client.get_or_create("room", fresh, params={"name": name}).call("name")
    assert failure.value.identity == identity
    assert failure.value.metadata == metadata


@pytest.mark.parametrize(
    ("name", "identity"),
    [
        pytest.param("taken", "user.name_taken", id="user-error"),
        pytest.param("banned", "auth.forbidden", id="forbidden"),
    ],
)
async def test_a_hook_refuses_a_connection_for_good(
    client: TypescriptClient, fresh: str, name: str, identity: str
) -> None:
    connection = await client.get_or_create("room", fresh, params={"name": name}).open()
    assert (await connection.next_error()).identity == identity
    await connection.until("idle")


async def test_parameters_that_do_not_fit_are_refused(client: TypescriptClient, fresh: str) -> None:
    with pytest.raises(TypescriptError) as failure:
        await client.get_or_create("room", fresh, params={"nickname": "Ada"}).call("name")
    assert failure.value.identity == "actor.validation_error"


async def test_a_connection_to_a_missing_actor_keeps_trying(client: TypescriptClient, fresh: str) -> None:
    connection = await client.get("counter", fresh).open()
    assert await client.get_or_create("counter", fresh).call("increment", 5) == 5
    await connection.ready()
    assert await connection.call("count") == 5


async def test_a_client_that_was_sent_away_connects_again(client: TypescriptClient, fresh: str) -> None:
    connection = await client.get_or_create("room", fresh, params={"name": "Ada"}).connect()
    await connection.until("connected")
    assert [await connection.call("count_calls") for _ in range(2)] == [1, 2]
    await sent_away(connection)
    await connection.until("connected")
    assert await connection.call("count_calls") == 1


async def test_a_disposed_connection_stays_closed(client: TypescriptClient, fresh: str) -> None:
    connection = await client.get_or_create("counter", fresh).connect()
    await connection.dispose()
    assert await connection.status() == "idle"
    with pytest.raises(TypescriptError):
        await connection.call("count")


async def subscribed(connection: TypescriptConnection, event: str) -> TypescriptConnection:
    """Listen, and return once the server must know: it handles a socket's frames in order."""
    await connection.on(event)
    with pytest.raises(TypescriptError):
        await connection.call("an action that does not exist")
    return connection


async def sent_away(connection: TypescriptConnection) -> None:
    """Make the actor close the connection; the reply may or may not get out first."""
    try:
        await connection.call("leave")
    except TypescriptError as failure:
        assert "connection" in failure.message.lower()
    await connection.until("disconnected")
