from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from live_world import Counter, World, begin, failure_of, identity

from rivetkit.client import ConnectionStatus
from rivetkit.client._live import OPEN_TIMEOUT, STABLE_AFTER
from rivetkit_core.errors import ActorNotFound, Forbidden, ProtocolError, RivetError, UserError, error
from rivetkit_core.testing import settle
from rivetkit_core.wire import cbor
from rivetkit_core.wire.messages import ActionResponse, ErrorMessage, Init, SubscriptionRequest


@pytest.fixture
def world() -> World:
    return World()


DOWN = error("client.request_failed", reason="down")


async def test_entering_waits_for_init(world: World) -> None:
    world.access.next_connect(())
    entering = await begin(world.counter.connect().__aenter__())
    assert not entering.done()
    world.link.deliver(Init("actor-1", "connection-1"))
    conn = await entering
    assert (conn.status, conn.actor_id, conn.connection_id) == ("connected", "actor-1", "connection-1")
    await conn.aclose()


async def test_entering_tries_again_while_the_server_is_down(world: World) -> None:
    world.access.next_connect(DOWN, DOWN)
    entering = await begin(world.counter.connect().__aenter__())
    await world.clock.advance(0.75)
    conn = await entering
    assert world.access.attempts == 3
    await conn.aclose()


async def test_entering_gives_up_with_the_last_failure(world: World) -> None:
    world.access.next_connect(*[DOWN] * 20)
    entering = await begin(world.counter.connect(timeout=4.0).__aenter__())
    await world.clock.advance(4.0)
    assert identity(await failure_of(entering)) == "client.request_failed"
    attempts = world.access.attempts
    await world.clock.advance(100.0)
    assert world.access.attempts == attempts


async def test_an_attempt_that_hangs_is_given_up(world: World) -> None:
    world.access.next_connect(())
    entering = await begin(world.counter.connect(timeout=1000.0).__aenter__())
    await world.clock.advance(OPEN_TIMEOUT + 1.0)
    conn = await entering
    assert world.access.attempts == 2
    assert world.access.links[0].closed is not None
    await conn.aclose()


async def test_a_cancelled_entry_leaves_nothing_behind(world: World) -> None:
    world.access.next_connect(())
    conn = world.counter.connect()
    entering = await begin(conn.__aenter__())
    entering.cancel()
    await settle()
    assert (conn.status, world.link.closed) == ("closed", (1000, "Disposed"))


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        pytest.param(error("auth.forbidden"), Forbidden, id="forbidden"),
        pytest.param(UserError("no", "login_failed"), UserError, id="user"),
        pytest.param(error("api.unauthorized"), RivetError, id="unauthorized"),
    ],
)
async def test_a_refusal_is_raised_at_once(world: World, refusal: RivetError, kind: type[RivetError]) -> None:
    world.access.next_connect(refusal)
    with pytest.raises(kind):
        await world.counter.connect().__aenter__()
    assert world.access.attempts == 1


async def test_an_error_message_instead_of_init_is_raised(world: World) -> None:
    world.access.next_connect((ErrorMessage("user", "rejected", "nope", cbor.encode({"n": 1})),))
    with pytest.raises(UserError, match=r"user\.rejected: nope") as caught:
        await world.counter.connect().__aenter__()
    assert caught.value.metadata == {"n": 1}
    assert world.link.closed is not None


async def test_a_close_instead_of_init_is_raised_by_its_reason(world: World) -> None:
    world.access.next_connect(())
    entering = await begin(world.client.get(Counter, "a").connect().__aenter__())
    await world.lose(1011, "actor.not_found#ray")
    assert isinstance(await failure_of(entering), ActorNotFound)


async def test_a_missing_actor_is_tried_again_where_connecting_makes_it(world: World) -> None:
    world.access.next_connect(error("actor.not_found"))
    entering = await begin(world.counter.connect().__aenter__())
    await world.clock.advance(0.25)
    await (await entering).aclose()


async def test_another_first_message_than_init_is_a_protocol_error(world: World) -> None:
    world.access.next_connect((ActionResponse(0, b"\x00"),))
    with pytest.raises(ProtocolError):
        await world.counter.connect().__aenter__()


async def test_the_first_reconnect_is_immediate(world: World) -> None:
    async with world.connected() as conn:
        await world.lose()
        assert (conn.status, conn.connection_id) == ("connected", "connection-2")


async def test_delays_double_up_to_thirty_seconds(world: World) -> None:
    async with world.connected():
        world.access.next_connect(*[DOWN] * 10)
        await world.lose()
        expected = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
        for count, delay in enumerate(expected, start=3):
            await world.clock.advance(delay * 0.99)
            assert world.access.attempts == count - 1
            await world.clock.advance(delay * 0.0101)
            assert world.access.attempts == count


async def test_a_connection_that_breaks_at_once_again_and_again_backs_off(world: World) -> None:
    async with world.connected():
        await world.lose()
        await world.lose()
        assert world.access.attempts == 2
        await world.clock.advance(0.25)
        assert world.access.attempts == 3


async def test_a_stable_connection_is_opened_again_at_once(world: World) -> None:
    async with world.connected():
        await world.lose()
        await world.clock.advance(STABLE_AFTER)
        await world.lose()
        assert world.access.attempts == 3


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        pytest.param(1006, "", id="broken"),
        pytest.param(1000, "", id="normal"),
        pytest.param(1000, "Goodbye, v1.2", id="free-text"),
        pytest.param(1011, "guard.actor_wake_retries_exceeded#ray", id="guard"),
        pytest.param(1011, "actor.overloaded", id="read-too-slowly"),
        pytest.param(1012, "ws.going_away", id="going-away"),
    ],
)
async def test_a_close_that_passes_leads_to_a_reconnect(world: World, code: int, reason: str) -> None:
    async with world.connected() as conn:
        await world.lose(code, reason)
        assert conn.status == "connected"


@pytest.mark.parametrize(
    "reason", ["auth.forbidden", "user.kicked", "api.unauthorized", "actor.validation_error"]
)
async def test_a_refusal_later_on_ends_the_connection_for_everybody(world: World, reason: str) -> None:
    async with world.connected() as conn, conn.events(Counter.changed) as changed:
        call = await begin(conn.call(Counter.increment))
        reading = await begin(anext(changed))
        errors: list[str] = []
        conn.on_error(lambda failure: errors.append(identity(failure)))
        await world.lose(1011, reason)
        assert identity(await failure_of(call)) == reason
        assert identity(await failure_of(reading)) == reason
        assert identity(await failure_of(conn.call(Counter.increment))) == reason
        assert errors == [reason]
        assert conn.status == "closed"
        assert world.access.attempts == 1


async def test_a_destroyed_actor_ends_a_connection_that_cannot_make_it(world: World) -> None:
    async with world.client.get(Counter, "a").connect() as conn:
        world.access.next_connect(error("actor.not_found"))
        await world.lose(1000)
        assert conn.status == "closed"
        assert isinstance(await failure_of(conn.call(Counter.increment)), ActorNotFound)


async def test_a_message_that_cannot_be_read_fails_calls_and_ends_the_connection(world: World) -> None:
    async with world.connected() as conn:
        call = await begin(conn.call(Counter.increment))
        world.link.deliver(ProtocolError("garbage"))
        assert isinstance(await failure_of(call), ProtocolError)
        assert conn.status == "closed"


async def test_a_second_init_is_a_protocol_error(world: World) -> None:
    async with world.connected() as conn:
        world.link.deliver(Init("actor-2", "connection-2"))
        await settle()
        assert isinstance(await failure_of(conn.call(Counter.increment)), ProtocolError)


async def test_subscriptions_are_made_again_after_a_reconnect(world: World) -> None:
    async with world.connected() as conn, conn.events(Counter.changed) as changed:
        await world.emit(1)
        await world.lose()
        assert world.link.sent == [SubscriptionRequest("changed", True)]
        await world.emit(2)
        assert [await anext(changed), await anext(changed)] == [1, 2]


async def test_every_status_is_told_in_order(world: World) -> None:
    seen: list[ConnectionStatus] = []
    conn = world.counter.connect()
    assert conn.status is ConnectionStatus.IDLE
    conn.on_status_change(seen.append)
    async with conn:
        world.access.next_connect(DOWN)
        await world.lose()
        await world.clock.advance(0.25)
    up = ["connecting", "connected"]
    assert seen == [*up, "disconnected", "connecting", "disconnected", *up, "closed"]


async def test_a_removed_callback_hears_nothing(world: World) -> None:
    async with world.connected() as conn:
        seen: list[ConnectionStatus] = []
        remove = conn.on_status_change(seen.append)
        remove()
        remove()
        await world.lose()
        assert seen == []


async def test_a_callback_that_raises_disturbs_nobody(world: World, caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("oops")

    async with world.connected() as conn:
        conn.on_status_change(broken)
        await world.lose()
        assert conn.status == "connected"
    assert "a callback of a connection failed" in caplog.text


async def test_every_failure_is_told_once(world: World) -> None:
    async with world.connected() as conn:
        errors: list[str] = []
        conn.on_error(lambda failure: errors.append(identity(failure)))
        world.access.next_connect(DOWN, error("auth.forbidden"))
        await world.lose()
        await world.clock.advance(0.25)
        assert errors == ["client.connection_lost", "client.request_failed", "auth.forbidden"]


async def test_a_disposal_is_not_an_error(world: World) -> None:
    errors: list[RivetError] = []
    async with world.connected() as conn:
        conn.on_error(errors.append)
    assert errors == []


def _sync_token() -> dict[str, str]:
    return {"token": "t"}


async def _async_token() -> dict[str, str]:
    return {"token": "t"}


@pytest.mark.parametrize("provider", [_sync_token, _async_token], ids=["sync", "async"])
async def test_parameters_may_come_from_a_callable(
    world: World, provider: Callable[[], dict[str, str] | Awaitable[dict[str, str]]]
) -> None:
    async with world.connected(params=provider):
        assert world.link.params is not None
        assert cbor.decode(world.link.params) == {"token": "t"}


async def test_parameters_are_fresh_for_every_attempt(world: World) -> None:
    tokens = iter(["first", "second"])
    async with world.connected(params=lambda: next(tokens)):
        await world.lose()
    assert [cbor.decode(link.params or b"") for link in world.access.links] == ["first", "second"]


async def test_parameters_that_cannot_be_made_are_tried_again(world: World) -> None:
    outcomes: list[Exception | str] = ["good", OSError("no network")]

    def provider() -> str:
        outcome = outcomes.pop()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    errors: list[str] = []
    conn = world.counter.connect(params=provider)
    conn.on_error(lambda failure: errors.append(str(failure)))
    entering = await begin(conn.__aenter__())
    await world.clock.advance(0.25)
    await (await entering).aclose()
    assert errors == [
        "client.get_params_failed: The connection parameters could not be made: OSError: no network"
    ]


async def test_a_connection_uses_the_parameters_of_its_handle(world: World) -> None:
    handle = world.client.get_or_create(Counter, "a", params={"name": "Ada"})
    async with handle.connect():
        assert cbor.decode(world.link.params or b"") == {"name": "Ada"}


async def test_an_unexpected_exception_ends_the_connection_and_is_raised(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        async with world.connected() as conn:
            call = await begin(conn.call(Counter.increment))
            monkeypatch.setattr(world.access, "connect", broken)
            await world.lose()
            await failure_of(call)
            waiting = await failure_of(conn.call(Counter.increment))
            assert identity(waiting) == "rivetkit.internal_error"
