"""Plain HTTP through the tunnel (envoy-protocol 6.2)."""

from __future__ import annotations

import asyncio
import json

import pytest

from rivetkit_core.actor.lifecycle import StopKind
from rivetkit_core.actor.task import ActorTask
from rivetkit_core.config import ActorConfig
from rivetkit_core.errors import ActorSpecifier, UserError
from rivetkit_core.host.engine.tunnel.exchange import HttpExchange
from rivetkit_core.testing import settle
from rivetkit_core.wire.client_protocol import Codec
from rivetkit_core.wire.envoy.messages import AbortKind, RequestBodyCancel, ResponseAbort, ResponseStart
from rivetkit_core.wire.messages import Encoding
from tests.unit.actor.scripted import Script, Scripted, World
from tests.unit.host.engine.tunnel.fakes import action, engine_of, get, output, upload


async def echo(_: Scripted, args: list[object]) -> object:
    return args


async def count(instance: Scripted, _args: list[object]) -> object:
    assert isinstance(instance.state, int)
    instance.state += 1
    return instance.state


def error_of(answer: ResponseStart) -> str | None:
    return answer.headers.get("x-rivet-error")


async def test_an_action_is_answered_once() -> None:
    async with engine_of(World(Script(actions={"echo": echo}))) as engine:
        await engine.give(1, action("echo", 1, "two"))
        answer = engine.answer(1)
        assert answer.status == 200
        assert output(answer) == [1, "two"]


async def test_an_answer_says_which_actor_gave_it() -> None:
    async with engine_of(World(Script())) as engine:
        await engine.give(1, get("/health"))
        assert engine.answer(1).headers == {
            "content-type": "text/plain; charset=utf-8",
            "x-rivet-actor": "actor1",
            "x-rivet-actor-generation": "1",
            "x-rivet-actor-key": "a/b\\/c",
        }


async def test_the_query_is_not_part_of_the_path() -> None:
    async with engine_of(World(Script())) as engine:
        await engine.give(1, get("/health?x=1"))
        assert engine.answer(1).body == b"ok"


async def test_an_error_of_the_actor_is_an_answer() -> None:
    async with engine_of(World(Script())) as engine:
        await engine.give(1, get("/nowhere"))
        assert engine.answer(1).status == 404


async def test_connection_parameters_outside_latin_1_arrive() -> None:
    seen: list[bytes] = []

    async def look(instance: Scripted, _args: list[object]) -> object:
        seen.extend(conn.params for conn in instance.context.connections.values())
        return None

    async with engine_of(World(Script(actions={"look": look}))) as engine:
        await engine.give(1, action("look", params='"héllo ☃"'))
        assert engine.answer(1).status == 200
    assert b"\xe2\x98\x83" in seen[0]


async def test_an_absent_actor_is_worth_another_call() -> None:
    async with engine_of(World(Script())) as engine:
        engine.actors.clear()
        await engine.give(1, get("/health"))
        answer = engine.answer(1)
        assert answer.status == 503
        failure = json.loads(answer.body or b"")
        assert (failure["group"], failure["code"]) == ("actor", "stopping")
        assert answer.headers["x-rivet-error"] == "envoy.actor_not_found"


async def test_another_generation_is_not_served() -> None:
    async with engine_of(World(Script())) as engine:
        await engine.give(1, get("/health", generation=2))
        assert engine.answer(1).headers["x-rivet-error"] == "envoy.actor_not_found"


async def test_a_bug_in_the_handler_is_an_answer_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(_actor: ActorTask, _exchange: HttpExchange) -> None:
        raise ValueError("secret")

    async with engine_of(World(Script()), handler=broken) as engine:
        await engine.give(1, get("/"))
        answer = engine.answer(1)
        assert answer.status == 500
        assert error_of(answer) == "envoy.fetch_failed"
        assert json.loads(answer.body or b"") == {
            "group": "envoy",
            "code": "fetch_failed",
            "message": "actor fetch failed",
            "metadata": {},
        }
    assert "secret" in caplog.text


async def test_a_handler_that_awaits_something_cancelled_has_failed() -> None:
    async def broken(_actor: ActorTask, _exchange: HttpExchange) -> None:
        lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        lost.cancel()
        await lost

    async with engine_of(World(Script()), handler=broken) as engine:
        await engine.give(1, get("/"))
        assert engine.answer(1).status == 500


async def test_a_handler_that_gives_no_answer_has_failed() -> None:
    async def silent(_actor: ActorTask, _exchange: HttpExchange) -> None:
        return

    async with engine_of(World(Script()), handler=silent) as engine:
        await engine.give(1, get("/"))
        assert engine.answer(1).status == 500


async def test_an_answer_above_the_engines_limit_is_an_error() -> None:
    async def large(_: Scripted, _args: list[object]) -> object:
        return "x" * 2000

    async with engine_of(World(Script(actions={"large": large}))) as engine:
        engine.tunnel.max_payload = 1000
        await engine.give(1, action("large"))
        answer = engine.answer(1)
        assert answer.status == 400
        assert answer.headers["x-rivet-error"] == "message.outgoing_too_long"


async def test_a_stopping_actor_leaves_a_request_to_the_next_generation() -> None:
    release = asyncio.Event()

    async def slow(_: Scripted, _args: list[object]) -> object:
        await release.wait()
        return "done"

    async with engine_of(World(Script(actions={"slow": slow, "count": count}))) as engine:
        await engine.give(1, action("slow"))
        stopping = asyncio.create_task(engine.actors[0].stop(StopKind.SLEEP))
        await settle()
        await engine.give(4, action("count"))
        assert engine.answer(4).status == 200  # there is time for it yet
        await engine.clock.advance(7.5)
        await engine.give(2, action("count"))
        (refusal,) = engine.about(2)
        assert isinstance(refusal, ResponseAbort)
        assert refusal.reason.kind is AbortKind.INTERNAL_ERROR
        await engine.give(3, action("count", generation=1))
        assert (engine.answer(3).status, error_of(engine.answer(3))) == (503, "actor.stopping")
        release.set()
        await stopping
        assert output(engine.answer(1)) == "done"


async def test_no_handler_runs_for_a_stopped_actor() -> None:
    served: list[str] = []

    async def note(_actor: ActorTask, exchange: HttpExchange) -> None:
        served.append(exchange.path)
        await exchange.respond(200, {})

    async with engine_of(World(Script()), handler=note) as engine:
        await engine.actors[0].stop(StopKind.SLEEP)
        await engine.give(1, get("/"))
        assert served == []
        assert isinstance(engine.about(1)[0], ResponseAbort)


async def test_an_actor_that_is_being_destroyed_says_so() -> None:
    release = asyncio.Event()

    async def slow(_: Scripted, _args: list[object]) -> object:
        await release.wait()
        return None

    async with engine_of(World(Script(actions={"slow": slow}))) as engine:
        await engine.give(1, action("slow"))
        stopping = asyncio.create_task(engine.actors[0].stop(StopKind.DESTROY))
        await settle()
        await engine.give(2, action("slow"))
        answer = engine.answer(2)
        assert answer.status == 503
        assert b"destroying" in (answer.body or b"")
        release.set()
        await stopping


async def test_a_request_that_crosses_the_end_of_its_actor_is_delivered_again() -> None:
    async with engine_of(World(Script())) as engine:
        actor = engine.actors.pop()
        await actor.stop(StopKind.SLEEP)
        await engine.tunnel.actor_ended("actor1", 1)
        await engine.give(1, get("/health"))
        assert isinstance(engine.about(1)[0], ResponseAbort)
        await engine.give(2, get("/health", generation=1))
        assert error_of(engine.answer(2)) == "actor.stopping"
        await engine.clock.advance(31)
        await engine.give(3, get("/health"))
        assert error_of(engine.answer(3)) == "envoy.actor_not_found"


async def test_the_end_of_a_generation_waits_for_its_requests() -> None:
    release = asyncio.Event()

    async def patient(_actor: ActorTask, exchange: HttpExchange) -> None:
        await release.wait()
        await exchange.respond(200, {}, b"late")

    async with engine_of(World(Script()), handler=patient) as engine:
        await engine.give(1, get("/"))
        ending = asyncio.create_task(engine.tunnel.actor_ended("actor1", 1))
        await settle()
        assert not ending.done()
        release.set()
        await ending
        assert engine.answer(1).body == b"late"


async def test_a_request_that_outstays_its_generation_is_given_back() -> None:
    async def forever(_actor: ActorTask, _exchange: HttpExchange) -> None:
        await asyncio.Event().wait()

    async with engine_of(World(Script()), handler=forever) as engine:
        await engine.give(1, get("/"))
        await engine.give(2, get("/", generation=1))
        ending = asyncio.create_task(engine.tunnel.actor_ended("actor1", 1))
        await engine.clock.advance(1)
        await ending
        assert isinstance(engine.about(1)[0], ResponseAbort)
        assert error_of(engine.answer(2)) == "actor.aborted"


async def test_a_request_delivered_twice_runs_once() -> None:
    release = asyncio.Event()

    async def slow(instance: Scripted, args: list[object]) -> object:
        await release.wait()
        return await count(instance, args)

    async with engine_of(World(Script(actions={"slow": slow}))) as engine:
        await engine.give(1, action("slow"))
        await engine.give(1, action("slow"))
        release.set()
        await settle()
        assert output(engine.answer(1)) == 1


async def test_an_answer_is_repeated_when_its_request_comes_again() -> None:
    async with engine_of(World(Script(actions={"count": count}))) as engine:
        await engine.give(1, action("count"))
        await engine.give(1, action("count"))
        first, second = engine.about(1)
        assert first == second
        assert isinstance(first, ResponseStart)
        assert output(first) == 1


async def test_an_answer_is_forgotten_after_a_minute() -> None:
    async with engine_of(World(Script(actions={"count": count}))) as engine:
        await engine.give(1, action("count"))
        await engine.clock.advance(61)
        await engine.give(1, action("count"))
        answers = [output(kind) for kind in engine.about(1) if isinstance(kind, ResponseStart)]
        assert answers == [1, 2]


async def test_a_request_given_back_runs_when_it_comes_again() -> None:
    world = World(Script(actions={"count": count}))
    async with engine_of(world) as engine:
        await engine.actors.pop().stop(StopKind.SLEEP)
        await engine.tunnel.actor_ended("actor1", 1)
        await engine.give(1, action("count"))
        engine.actors.append(await world.started())
        await engine.give(1, action("count"))
        abort, answer = engine.about(1)
        assert isinstance(abort, ResponseAbort)
        assert isinstance(answer, ResponseStart)
        assert output(answer) == 1


async def test_an_action_cancelled_by_shutdown_is_answered() -> None:
    async def forever(_: Scripted, _args: list[object]) -> object:
        await asyncio.Event().wait()
        return None

    script = Script(actions={"forever": forever}, config=ActorConfig(shutdown_grace_period=2))
    async with engine_of(World(script)) as engine:
        await engine.give(1, action("forever"))
        stopping = asyncio.create_task(engine.actors[0].stop(StopKind.SLEEP))
        await engine.clock.advance(2)
        await stopping
        assert engine.answer(1).status == 400


async def test_a_broken_lookup_does_not_reach_the_reader(caplog: pytest.LogCaptureFixture) -> None:
    async with engine_of(World(Script())) as engine:
        engine.actors.insert(0, None)  # pyright: ignore[reportArgumentType]  # a bug of the owner
        engine.give_at(1, 0, get("/health"))
    assert "could not be handled" in caplog.text


async def test_a_closed_tunnel_takes_nothing() -> None:
    async with engine_of(World(Script())) as engine:
        await engine.tunnel.close()
        await engine.give(1, get("/health"))
        assert engine.sent == []


async def test_an_actor_that_could_not_start_answers_with_the_reason_in_the_callers_encoding() -> None:
    async with engine_of(World(Script())) as engine:
        engine.start_failure = UserError("no", code="broken", metadata={"why": "tired"})
        engine.start_failure.actor = ActorSpecifier("actor1", 3, "a")
        await engine.give(1, action("count"))
        await engine.give(1, action("count"))
        first, repeated = engine.about(1)
        assert isinstance(first, ResponseStart)
        assert repeated == first
        assert first.status == 500
        assert first.headers == {
            "content-type": "application/octet-stream",
            "x-rivet-actor": "actor1",
            "x-rivet-actor-generation": "3",
            "x-rivet-actor-key": "a",
        }
        failure = Codec(Encoding.BARE).decode_http_error(first.body or b"")
        assert (failure.group, failure.code, failure.message) == ("user", "broken", "no")


async def test_the_upload_to_an_actor_that_could_not_start_is_stopped() -> None:
    async with engine_of(World(Script())) as engine:
        engine.start_failure = UserError("no", code="broken")
        await engine.give(1, upload("/action/count"))
        cancel, answer = engine.about(1)
        assert cancel == RequestBodyCancel()
        assert isinstance(answer, ResponseStart)
        assert answer.status == 500
