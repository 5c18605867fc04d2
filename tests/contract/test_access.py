"""Who may connect, who may hear what, and who has to go (actor-runtime 9)."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from rivetkit_core.wire.messages import Encoding
from tests.contract.client import RawClient, actor_error, by_key

HALL = by_key("hall", "a")
CLERK = {"x-rivet-conn-params": '"clerk"'}


async def log(client: RawClient) -> list[str]:
    return cast("list[str]", await client.call(HALL, "log", headers=CLERK))


async def tell(client: RawClient, text: str) -> None:
    await client.call(HALL, "tell", text, headers=CLERK)


@pytest.mark.parametrize("encoding", list(Encoding))
async def test_a_refused_subscription_closes_with_1011(client: RawClient, encoding: Encoding) -> None:
    async with client.connect(HALL, encoding=encoding, params="stranger") as socket:
        await socket.init()
        await socket.subscribe("whispered")
        assert await socket.ended() == (1011, "auth.forbidden")


async def test_a_granted_subscription_is_heard(client: RawClient) -> None:
    async with client.connect(HALL, params="friend") as socket:
        await socket.init()
        await socket.subscribe("whispered")
        await socket.request(1, "log")
        assert await socket.answer(1) == []
        await tell(client, "psst")
        assert await socket.event() == ("whispered", ["psst"])


async def test_what_follows_a_subscription_waits_for_the_answer(client: RawClient) -> None:
    async with client.connect(HALL, params="friend") as socket:
        await socket.init()
        await socket.subscribe("said")
        await socket.request(1, "tell", "hello")
        assert await socket.event() == ("said", ["hello"])
        assert await socket.answer(1) is None


async def test_nobody_is_asked_about_unsubscribing(client: RawClient) -> None:
    async with client.connect(HALL, params="stranger") as socket:
        await socket.init()
        await socket.subscribe("whispered", on=False)
        await socket.subscribe("locked", on=False)
        assert await socket.call(1, "log") == []


async def test_a_name_that_is_no_event_may_be_subscribed_to(client: RawClient) -> None:
    async with client.connect(HALL, params="stranger") as socket:
        await socket.init()
        await socket.subscribe("nothing")
        assert await socket.call(1, "log") == []


async def test_a_hook_may_refuse_any_name_with_a_reason(client: RawClient) -> None:
    async with client.connect(HALL, params="friend") as socket:
        await socket.init()
        await socket.subscribe("locked")
        assert await socket.ended() == (1011, "user.locked")


async def test_an_answer_that_takes_too_long_closes(client: RawClient) -> None:
    async with client.connect(HALL, params="friend") as socket:
        await socket.init()
        await socket.subscribe("endless")
        assert await socket.ended() == (1011, "actor.callback_timed_out")


async def test_an_event_to_one_connection_needs_no_subscription(client: RawClient) -> None:
    async with client.connect(HALL, params="stranger") as socket:
        await socket.init()
        await client.call(HALL, "tell_one", "stranger", "you there", headers=CLERK)
        assert await socket.event() == ("whispered", ["you there"])


async def test_an_event_that_is_too_long_closes(client: RawClient) -> None:
    async with client.connect(HALL, params="stranger") as large, client.connect(HALL, params="b") as other:
        await large.init()
        await other.init()
        await client.call(HALL, "tell_one", "stranger", "x" * 20_000, headers=CLERK)
        assert await large.ended() == (1011, "message.outgoing_too_long")
        assert isinstance(await other.call(1, "log"), list)


@pytest.mark.parametrize("encoding", list(Encoding))
async def test_a_refused_http_caller_gets_the_error(client: RawClient, encoding: Encoding) -> None:
    answer = await client.post(HALL, "log", encoding=encoding, headers={"x-rivet-conn-params": '"unknown"'})
    failure = actor_error(answer, encoding)
    assert (failure.group, failure.code, failure.message) == ("user", "unknown", "who are you?")
    assert await log(client) == []


async def test_a_refused_websocket_was_never_there(client: RawClient) -> None:
    async with client.connect(HALL, params="unknown") as socket:
        failure = await socket.failure(None)
        assert (failure.group, failure.code) == ("user", "unknown")
        assert await socket.ended() == (1011, "user.unknown")
    assert await log(client) == []


async def test_some_are_disconnected_with_a_reason_and_the_others_stay(client: RawClient) -> None:
    async with (
        client.connect(HALL, params="guest") as one,
        client.connect(HALL, params="guest") as two,
        client.connect(HALL, params="friend") as friend,
    ):
        for socket in (one, two, friend):
            await socket.init()
        assert await client.call(HALL, "clear", "guest", "closing time", headers=CLERK) == 2
        assert await asyncio.gather(one.ended(), two.ended()) == [(1000, "closing time")] * 2
        while len(seen := await log(client)) < 2:
            pass
        assert seen == ["GUEST left 1", "GUEST left 1"]
        assert isinstance(await friend.call(1, "log"), list)


async def test_a_caller_over_http_may_be_disconnected_and_is_answered(client: RawClient) -> None:
    assert await client.call(HALL, "clear", "clerk", "bye", headers=CLERK) == 1
