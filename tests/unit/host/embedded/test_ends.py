"""Sleep and destroy asked for at once: the destroy wins (actor-runtime 5.3)."""

from __future__ import annotations

import pytest

from rivetkit_core.errors import ActorNotFound
from rivetkit_core.host.port import ById, ByKey
from rivetkit_core.testing import settle
from tests.unit.actor.scripted import Scripted
from tests.unit.host.embedded.test_alarms import World


async def nap(actor: Scripted, _args: list[object]) -> object:
    actor.context.sleep()
    return None


async def nap_and_end(actor: Scripted, _args: list[object]) -> object:
    actor.context.sleep()
    await actor.context.destroy()
    return None


async def end(actor: Scripted) -> None:
    await actor.context.destroy()


async def test_destroying_overrules_a_sleep_that_was_asked_for_first() -> None:
    world = World()
    world.script.actions = {**world.script.actions, "go": nap_and_end}
    async with world.open() as host:
        await world.call("a", "ping")
        actor_id = (await host.place(ByKey("scripted", ("a",)))).actor_id
        await world.call("a", "go")
        await settle()
        assert "on_destroy" in world.log
        assert "on_sleep" not in world.log
        with pytest.raises(ActorNotFound):
            await host.place(ById(actor_id))


async def test_an_actor_may_end_for_good_while_it_goes_to_sleep() -> None:
    world = World()
    world.script.actions = {**world.script.actions, "nap": nap}
    world.script.hooks = {**world.script.hooks, "on_sleep": end}
    async with world.open() as host:
        await world.call("a", "nap")
        actor_id = (await host.place(ByKey("scripted", ("a",)))).actor_id
        await settle()
        with pytest.raises(ActorNotFound):
            await host.place(ById(actor_id))
        assert (await world.store.find_by_id(actor_id)) is not None
        assert await world.call("a", "ping") == "pong"
        assert (await host.place(ByKey("scripted", ("a",)))).actor_id != actor_id
