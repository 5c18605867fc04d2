"""Queues of an actor, from outside and inside (client-protocol 3.2, actor-runtime 7)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import cast

import httpx
import pytest

from rivetkit.client import ActorHandle, Client
from rivetkit_core.errors import Forbidden, RivetError, ValidationError
from rivetkit_core.wire import cbor
from rivetkit_core.wire.client_protocol import Codec
from rivetkit_core.wire.messages import Encoding, QueueSendRequest
from tests.contract.client import RawClient, Target, by_key, error_of
from tests.contract.hosts import also_in_tables
from tests.contract.queue_actors import Order, Worker
from tests.contract.serving import Serving

pytestmark = also_in_tables


WORKER = by_key("worker", "a")


async def post(
    client: RawClient,
    queue: str,
    body: object,
    *,
    wait: bool = False,
    timeout: int | None = None,
    encoding: Encoding = Encoding.JSON,
    target: Target = WORKER,
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    """Send a message; the answer as it came."""
    request = QueueSendRequest(cbor.encode(body), queue, wait, timeout)
    return await client.http.post(
        client.url(target, f"/queue/{queue}"),
        content=Codec(encoding).encode_queue_request(request),
        headers={"x-rivet-encoding": encoding.value, **(headers or {})},
    )


def answer_of(answer: httpx.Response, encoding: Encoding = Encoding.JSON) -> tuple[str, object]:
    """Status and response of an answer that is no error."""
    assert answer.status_code == 200, answer.text
    decoded = Codec(encoding).decode_queue_response(answer.content)
    return decoded.status, None if decoded.response is None else cbor.decode(decoded.response)


@pytest.fixture(autouse=True)
async def there(host: Serving) -> None:
    """Two requests that make an actor at once may find it between two lives, and ``post`` asks only once."""
    assert await host.client.call(WORKER, "size") == 0


@pytest.fixture
async def handle(host: Serving) -> AsyncIterator[ActorHandle[Worker]]:
    """The same actor, by the typed client."""
    raw = host.client
    async with Client(raw.base_url, namespace=raw.namespace) as typed:
        yield typed.get_or_create(Worker, "a")


@pytest.mark.parametrize("encoding", list(Encoding))
async def test_a_sent_message_is_received_in_order(client: RawClient, encoding: Encoding) -> None:
    for text in ("one", "two"):
        assert answer_of(await post(client, "notes", text, encoding=encoding), encoding) == (
            "completed",
            None,
        )
    assert [await client.call(WORKER, "take_note") for _ in range(3)] == ["one", "two", None]


@pytest.mark.parametrize("encoding", list(Encoding))
async def test_a_sender_that_waits_gets_the_reply(client: RawClient, encoding: Encoding) -> None:
    async with asyncio.TaskGroup() as group:
        sending = group.create_task(
            post(client, "orders", {"item": "tea"}, wait=True, timeout=4000, encoding=encoding)
        )
        group.create_task(client.call(WORKER, "fill_order"))
    assert answer_of(sending.result(), encoding) == ("completed", "1 x tea")


@pytest.mark.parametrize("encoding", list(Encoding))
async def test_a_sender_that_waits_too_long_is_told_and_its_message_stays(
    client: RawClient, encoding: Encoding
) -> None:
    sent = await post(client, "orders", {"item": "tea"}, wait=True, timeout=10, encoding=encoding)
    assert answer_of(sent, encoding) == ("timedOut", None)
    assert await client.call(WORKER, "fill_order") == "tea"


async def test_a_queue_that_is_not_declared_swallows_its_messages(client: RawClient) -> None:
    assert answer_of(await post(client, "nowhere", 1, wait=True)) == ("completed", None)
    assert answer_of(await post(client, "any", 1, target=by_key("counter", "a"))) == ("completed", None)
    assert await client.call(WORKER, "size") == 0


async def test_a_refused_message_is_not_stored(client: RawClient) -> None:
    refused = await post(client, "guarded", 1)
    assert (refused.status_code, error_of(refused)) == (403, "auth.forbidden")
    allowed = await post(client, "guarded", 2, headers={"x-rivet-conn-params": '"boss"'})
    assert answer_of(allowed) == ("completed", None)
    assert await client.call(WORKER, "take_guarded") == 2


async def test_a_message_that_does_not_fit_is_refused(client: RawClient) -> None:
    refused = await post(client, "orders", {"item": 1})
    assert (refused.status_code, error_of(refused)) == (400, "actor.validation_error")
    assert await client.call(WORKER, "size") == 0


async def test_a_full_queue_says_so(client: RawClient) -> None:
    for text in "abc":
        await post(client, "notes", text)
    refused = await post(client, "notes", "d")
    assert (refused.status_code, error_of(refused)) == (400, "queue.full")
    assert refused.json()["metadata"] == {"limit": 3}


async def test_a_message_beyond_the_limit_is_refused(client: RawClient) -> None:
    refused = await post(client, "notes", "x" * 400)
    assert (refused.status_code, error_of(refused)) == (400, "queue.message_too_large")


@pytest.mark.parametrize("content", [b"{", b'{"body":1,"timeout":-1}', b'{"body":1,"wait":"yes"}', b"[]"])
async def test_a_malformed_send_is_refused(client: RawClient, content: bytes) -> None:
    answer = await client.http.post(client.url(WORKER, "/queue/notes"), content=content)
    assert (answer.status_code, error_of(answer)) == (400, "request.invalid")


async def test_queues_are_for_posting(client: RawClient) -> None:
    answer = await client.http.get(client.url(WORKER, "/queue/notes"))
    assert (answer.status_code, error_of(answer)) == (405, "actor.method_not_allowed")


async def test_messages_outlive_the_host(host: Serving) -> None:
    await post(host.client, "notes", "kept")
    await post(host.client, "orders", {"item": "tea"})
    await host.restart()
    assert await host.client.call(WORKER, "take_note") == "kept"
    assert await host.client.call(WORKER, "fill_order") == "tea"
    assert await host.client.call(WORKER, "size") == 0


async def test_a_message_that_is_not_completed_comes_again(host: Serving) -> None:
    await post(host.client, "orders", {"item": "tea"})
    assert await host.client.call(WORKER, "peek_order") == "tea"
    await host.restart()
    assert await host.client.call(WORKER, "peek_order") == "tea"
    assert await host.client.call(WORKER, "fill_order") == "tea"


async def test_ids_are_not_used_again_after_a_restart(host: Serving) -> None:
    first = cast("int", await host.client.call(WORKER, "note", "a"))
    await host.client.call(WORKER, "take_note")
    await host.restart()
    assert await host.client.call(WORKER, "note", "b") == first + 1


async def test_a_handle_sends(handle: ActorHandle[Worker]) -> None:
    await handle.send(Worker.notes, "hello")
    await handle.send_by_name("notes", "again")
    assert [await handle.call(Worker.take_note) for _ in range(2)] == ["hello", "again"]


async def test_a_handle_gets_the_reply(handle: ActorHandle[Worker]) -> None:
    async with asyncio.TaskGroup() as group:
        sending = group.create_task(
            handle.send_and_wait(Worker.orders, Order(item="tea", count=2), timeout=4.0)
        )
        group.create_task(handle.call(Worker.fill_order))
    assert sending.result() == "2 x tea"


async def test_a_handle_is_told_that_no_reply_came_in_time(handle: ActorHandle[Worker]) -> None:
    with pytest.raises(RivetError, match="within 10 ms"):
        await handle.send_and_wait(Worker.orders, Order(item="tea"), timeout=0.01)
    assert await handle.call(Worker.fill_order) == "tea"


async def test_a_connection_sends_with_its_parameters(handle: ActorHandle[Worker]) -> None:
    async with handle.connect(params="boss") as conn:
        await conn.send(Worker.guarded, 3)
    with pytest.raises(Forbidden):
        await handle.send(Worker.guarded, 4)
    assert await handle.call(Worker.take_guarded) == 3


async def test_a_body_that_does_not_fit_is_not_sent(handle: ActorHandle[Worker]) -> None:
    with pytest.raises(ValidationError) as caught:
        await handle.send(Worker.orders, Order.model_construct(item=cast("str", 1)))
    assert caught.value.issues


async def test_an_actor_that_waits_for_itself_is_told_when_time_is_up(handle: ActorHandle[Worker]) -> None:
    with pytest.raises(RivetError) as caught:
        await handle.call(Worker.order_myself, "tea")
    assert (caught.value.group, caught.value.code) == ("queue", "timed_out")


async def test_a_message_in_hand_when_the_host_ends_has_failed_once(host: Serving) -> None:
    await post(host.client, "risky", "a")
    assert await host.client.call(WORKER, "hold_risky") == 1
    assert await host.client.call(WORKER, "hold_risky") is None
    await host.restart()
    assert await host.client.call(WORKER, "hold_risky") == 2


async def test_what_failed_too_often_is_kept_as_a_dead_letter(host: Serving) -> None:
    await post(host.client, "risky", "a")
    assert [await host.client.call(WORKER, "fail_risky") for _ in range(2)] == [1, 2]
    await host.restart()
    assert await host.client.call(WORKER, "size") == 1
    assert await host.client.call(WORKER, "hold_risky") is None
    assert await host.client.call(WORKER, "redrive") == 1
    assert await host.client.call(WORKER, "hold_risky") == 1


async def test_a_known_key_is_known_after_a_restart(host: Serving) -> None:
    await post(host.client, "risky", "a")
    await host.restart()
    await post(host.client, "risky", "A")
    await post(host.client, "risky", "b")
    assert await host.client.call(WORKER, "size") == 2


async def test_a_reset_outlives_the_host(host: Serving) -> None:
    sent = await post(host.client, "risky", "a" * 200)
    assert answer_of(sent) == ("completed", None)
    await host.client.call(WORKER, "reset")
    await host.restart()
    assert await host.client.call(WORKER, "size") == 0
    assert await host.client.call(WORKER, "note", "next") == 2


async def test_looking_at_a_queue_receives_nothing(client: RawClient) -> None:
    for text in ("a", "b"):
        await client.call(WORKER, "note", text)
    await post(client, "orders", {"item": "tea"})
    assert await client.call(WORKER, "look") == ["1 a", "2 b"]
    assert await client.call(WORKER, "take_note") == "a"
