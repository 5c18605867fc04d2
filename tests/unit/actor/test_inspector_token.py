"""The token of an actor (inspector 2)."""

from __future__ import annotations

import re

from rivetkit_core.actor.inspector_token import INSPECTOR_TOKEN_KEY, InspectorOptions, InspectorToken
from rivetkit_core.actor.saver import Saver
from rivetkit_core.actor.task import StopKind
from rivetkit_core.actor.work import WorkRegistry
from rivetkit_core.entropy import SeededEntropy
from rivetkit_core.metrics.recorder import Recorder
from rivetkit_core.testing import FakeClock, MemoryStore
from tests.unit.actor.scripted import Script, Scripted, World, failure_of


async def stored(world: World) -> str:
    found = await world.storage.load([INSPECTOR_TOKEN_KEY])
    return found[INSPECTOR_TOKEN_KEY].decode()


def made(**options: object) -> InspectorToken:
    clock = FakeClock()
    saver = Saver(
        storage=MemoryStore().storage("a"),
        clock=clock,
        work=WorkRegistry(),
        interval=1.0,
        capture=lambda: b"",
        busy=lambda: False,
        metrics=Recorder(clock, "a", "a"),
    )
    token = InspectorToken(
        InspectorOptions(**options),  # pyright: ignore[reportArgumentType]  # each test names its own
        entropy=SeededEntropy(1),
        saver=saver,
    )
    token.ensure()
    return token


async def test_an_actor_has_a_token_from_its_creation_on() -> None:
    world = World(Script())
    task = await world.started()
    token = await stored(world)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", token)
    assert task.inspector_token.opens(token)


async def test_a_token_survives_sleep() -> None:
    world = World(Script())
    task = await world.started()
    token = await stored(world)
    await task.stop(StopKind.SLEEP)
    assert (await world.started()).inspector_token.opens(token)
    assert await stored(world) == token


async def test_an_actor_from_before_tokens_gets_one_when_it_wakes() -> None:
    world = World(Script())
    await (await world.started()).stop(StopKind.SLEEP)
    await world.storage.apply({}, [INSPECTOR_TOKEN_KEY])
    task = await world.started()
    await task.stop(StopKind.SLEEP)
    assert task.inspector_token.opens(await stored(world))


async def test_a_failed_creation_leaves_no_token() -> None:
    async def fail(_: Scripted) -> None:
        raise RuntimeError("no")

    world = World(Script(hooks={"on_create": fail}))
    await failure_of(world.task().start(None))
    assert await world.storage.load([INSPECTOR_TOKEN_KEY]) == {}


def test_nothing_else_opens() -> None:
    token = made()
    assert not any(token.opens(candidate) for candidate in (None, "", "x", "ä", "x" * 43))


def test_the_token_of_a_test_is_the_only_one() -> None:
    token = made(token="test")
    assert token.opens("test")
    assert not token.opens("other")


def test_without_an_inspector_nothing_opens_but_the_scrapers_token_does() -> None:
    token = made(enabled=False, token="test", metrics_token="scraper")
    assert not token.opens("test")
    assert not token.opens("scraper")
    assert token.opens_metrics("scraper")
    assert not token.opens_metrics("test")


def test_options_do_not_show_their_tokens() -> None:
    assert "secret" not in repr(InspectorOptions(token="secret", metrics_token="secret"))
