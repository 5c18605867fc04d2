from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from rivetkit_core.clock import SystemClock
from rivetkit_core.errors import ActorNotFound, RivetError
from rivetkit_core.host.engine.api import EngineApi
from rivetkit_core.host.engine.resources import PoolStatus, ServerlessPool
from tests.engines import RunningEngine

pytestmark = pytest.mark.engine

Fresh = Callable[[], Awaitable[str]]


async def test_the_engine_says_who_it_is(engine: RunningEngine) -> None:
    async with engine.api() as api:
        assert (await api.health()).runtime == "engine"
        assert (await api.metadata()).envoy_protocol_version >= 8


async def test_a_namespace_is_made_once(engine: RunningEngine, fresh_namespace: Fresh) -> None:
    name = await fresh_namespace()
    async with engine.api() as api:
        (known,) = await api.namespaces(name)
        assert await api.ensure_namespace(name) == known
        with pytest.raises(RivetError) as refused:
            await api.create_namespace(name)
    assert (refused.value.group, refused.value.code) == ("namespace", "name_not_unique")


async def test_a_missing_namespace_is_made(engine: RunningEngine, fresh_namespace: Fresh) -> None:
    name = await fresh_namespace() + "-b"
    async with engine.api() as api:
        made = await api.ensure_namespace(name)
        assert await api.namespaces(name) == (made,)


async def test_a_bad_namespace_name_is_refused_with_a_reason(engine: RunningEngine) -> None:
    async with engine.api() as api:
        with pytest.raises(RivetError) as refused:
            await api.create_namespace("not a name")
    assert refused.value.group == "namespace"


async def test_a_pool_is_set_in_every_datacenter(engine: RunningEngine, fresh_namespace: Fresh) -> None:
    async with engine.api(await fresh_namespace()) as api:
        assert await api.runner_config("default") == (PoolStatus("default", False, True, None, None),)
        assert await api.runner_config("none") == ()


async def test_a_pool_may_become_serverless(engine: RunningEngine, fresh_namespace: Fresh) -> None:
    config = ServerlessPool(url="http://127.0.0.1:9/api/rivet", request_lifespan=60, drain_grace_period=5)
    async with engine.api(await fresh_namespace()) as api:
        await api.upsert_runner_config("default", config)
        (status,) = await api.runner_config("default")
    assert status.serverless


async def test_a_pool_of_an_unknown_namespace_is_refused_at_once(engine: RunningEngine) -> None:
    async with engine.api("no-such-namespace") as api:
        with pytest.raises(RivetError) as refused:
            await api.ensure_pool("default")
    assert (refused.value.group, refused.value.code) == ("namespace", "not_found")


async def test_a_pool_nobody_joined_is_not_ready(engine: RunningEngine, fresh_namespace: Fresh) -> None:
    async with engine.api(await fresh_namespace()) as api:
        assert await api.list_envoys("default") == ()
        with pytest.raises(RivetError) as late:
            await api.wait_for_pool("default", timeout=0.3)
    assert late.value.code == "pool_not_ready"


async def test_an_actor_can_be_made_found_and_destroyed(
    engine: RunningEngine, fresh_namespace: Fresh
) -> None:
    async with engine.api(await fresh_namespace()) as api:
        actor, created = await api.get_or_create_actor("room", "lobby", pool="default", input=b"\xa0")
        assert created
        again, created = await api.get_or_create_actor("room", "lobby", pool="default")
        assert (again.actor_id, created) == (actor.actor_id, False)
        assert [found.actor_id for found in await api.list_actors("room", key="lobby")] == [actor.actor_id]
        assert await api.list_actors("room", key="garden") == ()
        assert await api.kv_get(actor.actor_id, b"\x01") is None
        await api.sleep_actor(actor.actor_id)
        await api.reschedule_actor(actor.actor_id)
        await api.delete_actor(actor.actor_id)
        await api.delete_actor(actor.actor_id)
        assert (await api.get_actor(actor.actor_id)).destroy_ts is not None
        assert await api.list_actors("room") == ()
        assert len(await api.list_actors("room", include_destroyed=True)) == 1


async def test_an_actor_without_a_pool_is_refused(engine: RunningEngine, fresh_namespace: Fresh) -> None:
    async with engine.api(await fresh_namespace()) as api:
        with pytest.raises(RivetError) as refused:
            await api.create_actor("room", None, pool="none")
    assert refused.value.code == "no_runner_config_configured"
    assert isinstance(refused.value.metadata, dict)


async def test_an_unknown_actor_is_not_found(engine: RunningEngine, fresh_namespace: Fresh) -> None:
    async with engine.api(await fresh_namespace()) as api:
        actor = await api.create_actor("room", None, pool="default")
        unknown = actor.actor_id[:4] + "zzzzzz" + actor.actor_id[10:]
        with pytest.raises(ActorNotFound):
            await api.get_actor(unknown)


async def test_nobody_at_the_endpoint_is_said_so() -> None:
    async with EngineApi("http://127.0.0.1:1", clock=SystemClock()) as api:
        with pytest.raises(RivetError, match=r"http://127\.0\.0\.1:1") as refused:
            await api.health()
    assert refused.value.code == "unreachable"
