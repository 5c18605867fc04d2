"""Placement: what happens to callers while actors start, end, and the host closes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

import httpx
import pytest

from rivetkit_core.actor.context import ActorContext
from rivetkit_core.actor.factory import ActionSpec, ActorFactory, ActorInstance
from rivetkit_core.clock import SystemClock
from rivetkit_core.entropy import SeededEntropy
from rivetkit_core.errors import RivetError, StorageError
from rivetkit_core.host.embedded.gateway.app import GatewayApp
from rivetkit_core.host.embedded.host import EmbeddedHost
from rivetkit_core.host.embedded.store_port import ActorRow
from rivetkit_core.host.port import ActorKey, ActorStorage, ById, ByKey, Records
from rivetkit_core.host.web.asgi import Message
from rivetkit_core.testing import MemoryStore
from rivetkit_core.wire import cbor
from tests.unit.actor.scripted import Script, Scripted, failure_of
from tests.unit.host.embedded.fakes import http_scope

A = ByKey("scripted", ("a",), create=True)
NO_ARGS = cbor.encode([])
FULL = StorageError("storage", "unavailable", "full")


class Gate:
    """An action that waits, and tells when it does."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.open = asyncio.Event()
        self.script = Script(actions={"hold": self._hold})

    async def _hold(self, _actor: Scripted, _args: list[object]) -> object:
        self.entered.set()
        await self.open.wait()
        return "held"


class FailingStore(MemoryStore):
    """Fails the operations it is told to, once each."""

    def __init__(self, *failing: str) -> None:
        super().__init__()
        self.failing = list(failing)

    def storage(self, actor_id: str) -> ActorStorage:
        return FailingStorage(self, super().storage(actor_id))

    async def mark_destroyed(self, actor_id: str, now_ms: int) -> None:
        self.fail_once("mark_destroyed")
        await super().mark_destroyed(actor_id, now_ms)

    def fail_once(self, operation: str) -> None:
        if operation in self.failing:
            self.failing.remove(operation)
            raise FULL


class FailingStorage:
    """The records of one actor in a ``FailingStore``."""

    def __init__(self, store: FailingStore, storage: ActorStorage) -> None:
        self._store = store
        self._storage = storage

    async def load(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        return await self._storage.load(keys)

    async def apply(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes] = ()) -> None:
        self._store.fail_once("apply")
        await self._storage.apply(puts, deletes)

    async def list_range(
        self, start: bytes, end: bytes, *, reverse: bool = False, limit: int | None = None
    ) -> Records:
        return await self._storage.list_range(start, end, reverse=reverse, limit=limit)

    async def list(self, prefix: bytes, *, reverse: bool = False, limit: int | None = None) -> Records:
        return await self._storage.list(prefix, reverse=reverse, limit=limit)

    async def delete_range(self, start: bytes, end: bytes) -> None:
        await self._storage.delete_range(start, end)


async def _opened(
    script: Script | None = None,
    store: MemoryStore | None = None,
    create: Callable[[ActorContext], ActorInstance] | None = None,
) -> EmbeddedHost:
    chosen = script or Script()
    factory = ActorFactory(
        name="scripted",
        create=create or (lambda context: Scripted(chosen, context, [])),
        actions={name: ActionSpec() for name in chosen.actions},
        config=chosen.config,
    )
    host = EmbeddedHost(
        [factory], store=store or MemoryStore(), clock=SystemClock(), entropy=SeededEntropy(1)
    )
    await host.open()
    return host


async def test_many_who_ask_for_one_key_get_one_actor() -> None:
    host = await _opened()
    actors = await asyncio.gather(*(host.reach(A) for _ in range(50)))
    assert len({actor.identity.actor_id for actor in actors}) == 1
    rows, _ = await host.store.list_actors("default", "scripted", limit=10, include_destroyed=True)
    assert len(rows) == 1
    await host.close()


class SlowLook(MemoryStore):
    """Hands out what it found by key only when told to: by then it may be old."""

    def __init__(self) -> None:
        super().__init__()
        self.found = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def find_by_key(self, namespace: str, name: str, key: ActorKey) -> ActorRow | None:
        row = await super().find_by_key(namespace, name, key)
        self.found.set()
        await self.go_on.wait()
        return row


async def _destroyed_behind_the_back(host: EmbeddedHost, store: SlowLook, target: ByKey) -> asyncio.Task[str]:
    """A caller that found a living actor, and learns of it when the actor is gone."""

    async def reach() -> str:
        return (await host.reach(target)).identity.actor_id

    first = await host.reach(A)
    store.found.clear()
    store.go_on.clear()
    host._placed.clear()  # pyright: ignore[reportPrivateUsage]  # or the caller would not look at all
    asking = asyncio.create_task(reach())
    await store.found.wait()
    await host.destroy(first.identity.actor_id)
    store.go_on.set()
    return asking


async def test_a_key_whose_actor_went_while_it_was_looked_up_gets_a_new_actor() -> None:
    store = SlowLook()
    host = await _opened(store=store)
    asking = await _destroyed_behind_the_back(host, store, A)
    second = await asking
    row = await host.store.find_by_key("default", "scripted", ("a",))
    assert row is not None
    assert row.actor_id == second
    await host.close()


async def test_get_says_not_found_for_an_actor_that_went_while_it_was_looked_up() -> None:
    store = SlowLook()
    host = await _opened(store=store)
    asking = await _destroyed_behind_the_back(host, store, ByKey("scripted", ("a",), create=False))
    with pytest.raises(RivetError) as caught:
        await asking
    assert caught.value.code == "not_found"
    assert "get_or_create" in caught.value.message
    await host.close()


async def test_only_the_one_who_created_is_told_so() -> None:
    host = await _opened()
    placements = await asyncio.gather(*(host.place_or_create(A) for _ in range(20)))
    assert sorted(placement.created for placement in placements) == [False] * 19 + [True]
    await host.close()


async def test_who_asks_by_key_during_destroy_gets_a_new_actor() -> None:
    gate = Gate()
    host = await _opened(gate.script)
    first = await host.reach(A)
    held = asyncio.create_task(first.call_detached("hold", NO_ARGS, None))
    await gate.entered.wait()
    destroying = asyncio.create_task(host.destroy(first.identity.actor_id))
    first.context.abort()
    late = asyncio.create_task(host.reach(A))
    await asyncio.wait([destroying, late], timeout=0.01)
    assert not late.done()
    gate.open.set()
    assert cbor.decode(await held) == "held"
    assert (await late).identity.actor_id != first.identity.actor_id
    await destroying
    await host.close()


async def test_a_caller_in_the_turn_of_the_destroy_waits_for_it() -> None:
    host = await _opened()
    first = await host.reach(A)
    await first.context.destroy()  # asked for, and nothing has happened yet
    second = await host.reach(A)
    assert second.identity.actor_id != first.identity.actor_id
    await host.close()


async def test_a_destroyed_actor_is_not_started_again_by_its_id() -> None:
    host = await _opened()
    actor_id = (await host.reach(A)).identity.actor_id
    await host.destroy(actor_id)
    assert (await failure_of(host.reach(ById(actor_id)))).code == "not_found"
    await host.close()


async def test_a_destroy_that_cannot_be_stored_fails_and_can_be_repeated() -> None:
    host = await _opened(store=FailingStore("mark_destroyed"))
    actor_id = (await host.reach(A)).identity.actor_id
    assert (await failure_of(host.destroy(actor_id))).group == "storage"
    await host.destroy(actor_id)
    assert (await host.reach(A)).identity.actor_id != actor_id
    await host.close()


async def test_a_creation_whose_start_cannot_be_stored_leaves_nothing_behind() -> None:
    host = await _opened(store=FailingStore("apply"))
    assert (await failure_of(host.create("scripted", ("a",), input=None))).group == "storage"
    await host.create("scripted", ("a",), input=None)
    await host.close()


async def test_the_reason_of_a_failed_start_is_told_even_if_cleaning_up_fails_too() -> None:
    host = await _opened(store=FailingStore("apply", "mark_destroyed"))
    assert (await failure_of(host.reach(A))) is FULL
    await host.reach(A)
    await host.close()


async def test_an_instance_that_cannot_be_made_is_a_failed_start(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)

    def create(_context: ActorContext) -> ActorInstance:
        raise RuntimeError("secret")

    host = await _opened(create=create)
    failure = await failure_of(host.reach(A))
    assert (failure.group, failure.code) == ("actor", "start_failed")
    assert "secret" not in failure.message
    assert await host.store.find_by_key("default", "scripted", ("a",)) is None
    await host.close()


async def test_a_closing_host_tells_everybody_to_come_back() -> None:
    gate = Gate()
    host = await _opened(gate.script)
    actor = await host.reach(A)
    held = asyncio.create_task(actor.call_detached("hold", NO_ARGS, None))
    await gate.entered.wait()
    closing = asyncio.create_task(host.close())
    await asyncio.wait([closing], timeout=0.01)
    transport = httpx.ASGITransport(GatewayApp(host))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        for method, url in (
            ("GET", f"/gateway/{actor.identity.actor_id}/health"),
            ("GET", "/gateway/unknown/health"),
            ("GET", "/actors?namespace=default&name=scripted"),
            ("DELETE", f"/actors/{actor.identity.actor_id}?namespace=default"),
        ):
            answer = await http.request(method, url)
            assert (answer.status_code, answer.json()["code"]) == (503, "service_unavailable")
    gate.open.set()
    assert cbor.decode(await held) == "held"
    assert await closing == 0


async def test_a_websocket_during_the_close_is_told_to_come_back() -> None:
    host = await _opened()
    host.is_closing = True
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {**http_scope("/gateway/unknown/connect"), "type": "websocket", "subprotocols": ["rivet"]}
    await GatewayApp(host)(scope, receive, send)
    assert sent[-1]["code"] == 1011
    assert sent[-1]["reason"].startswith("guard.service_unavailable#")


async def test_closing_twice_is_fine() -> None:
    host = await _opened()
    assert (await host.close(), await host.close()) == (0, 0)
