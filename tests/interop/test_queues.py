"""The unmodified TypeScript client sends to our queues, in each of its encodings (client-protocol 3.2)."""

from __future__ import annotations

import asyncio

import pytest

from tests.interop.driver import TypescriptClient, TypescriptError
from tests.interop.values import UNDEFINED, BigInt

pytestmark = pytest.mark.interop


@pytest.mark.parametrize("body", ["text", {"deep": [1, None]}, b"bytes", BigInt(2**70)], ids=repr)
async def test_a_sent_value_is_received_as_it_was(client: TypescriptClient, fresh: str, body: object) -> None:
    worker = client.get_or_create("worker", fresh)
    assert await worker.send("notes", body) == UNDEFINED
    assert await worker.call("drain") == [body]


async def test_messages_keep_their_order(client: TypescriptClient, fresh: str) -> None:
    worker = client.get_or_create("worker", fresh)
    for number in range(3):
        await worker.send("notes", number)
    assert await worker.call("drain") == [0, 1, 2]


@pytest.mark.parametrize("data", ["text", {"a": [1.5]}, b"bytes"], ids=repr)
async def test_a_sender_that_waits_gets_the_reply(client: TypescriptClient, fresh: str, data: object) -> None:
    worker = client.get_or_create("worker", fresh)
    sending = asyncio.create_task(worker.send_and_wait("tasks", {"text": "do", "data": data}, timeout=5000))
    assert await worker.call("work") == "do"
    assert await sending == {"status": "completed", "response": data}


async def test_a_sender_is_told_that_time_is_up(client: TypescriptClient, fresh: str) -> None:
    worker = client.get_or_create("worker", fresh)
    answer = await worker.send_and_wait("tasks", {"text": "do"}, timeout=20)
    assert isinstance(answer, dict)
    assert answer["status"] == "timedOut"
    assert await worker.call("work") == "do"


async def test_a_queue_that_is_not_declared_swallows_its_messages(
    client: TypescriptClient, fresh: str
) -> None:
    worker = client.get_or_create("worker", fresh)
    answer = await worker.send_and_wait("nowhere", 1, timeout=5000)
    assert isinstance(answer, dict)
    assert answer["status"] == "completed"


@pytest.mark.parametrize(
    ("queue", "body", "identity"),
    [
        pytest.param("guarded", 1, ("auth", "forbidden"), id="refused"),
        pytest.param("tasks", {"text": 1}, ("actor", "validation_error"), id="does-not-fit"),
        pytest.param("notes", "x" * 65_530, ("message", "incoming_too_long"), id="too-long"),
    ],
)
async def test_a_refused_message_is_an_error(
    client: TypescriptClient, fresh: str, queue: str, body: object, identity: tuple[str, str]
) -> None:
    with pytest.raises(TypescriptError) as caught:
        await client.get_or_create("worker", fresh).send(queue, body)
    assert (caught.value.group, caught.value.code) == identity


async def test_a_full_queue_is_an_error(client: TypescriptClient, fresh: str) -> None:
    worker = client.get_or_create("worker", fresh)
    for number in range(3):
        await worker.send("notes", number)
    with pytest.raises(TypescriptError) as caught:
        await worker.send("notes", 3)
    assert (caught.value.code, caught.value.metadata) == ("full", {"limit": 3})
