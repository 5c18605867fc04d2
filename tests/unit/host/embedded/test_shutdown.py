"""The process stops while its actors have everything open at once."""

from __future__ import annotations

import asyncio

import pytest

from rivetkit_core.actor.factory import ActionSpec, ActorFactory, QueueSpec
from rivetkit_core.asgi import Receive, Scope, Send
from rivetkit_core.config import ActorConfig
from rivetkit_core.entropy import SeededEntropy
from rivetkit_core.errors import RivetError, StorageError
from rivetkit_core.host.embedded.host import EmbeddedHost
from rivetkit_core.host.port import ByKey, LinkClosed, RawRequest
from rivetkit_core.testing import FakeClock, MemoryStore, settle
from rivetkit_core.wire import cbor
from rivetkit_core.wire.messages import ActionRequest, Init
from tests.unit.actor.scripted import Script, Scripted

A = ByKey("scripted", ("a",), create=True)


async def _wait_for_mail(instance: Scripted) -> None:
    await instance.context.queue.next(["mail"], completable=True)


async def _stick(instance: Scripted, args: list[object]) -> object:
    instance.state = args[0]
    await asyncio.Event().wait()
    return None


async def _wait(instance: Scripted, _: list[object]) -> object:
    await instance.context.queue.enqueue_and_wait("orders", cbor.encode("one"))
    return None


async def _plan(instance: Scripted, _: list[object]) -> object:
    await instance.context.schedule.after(0, "stick", cbor.encode([3]))
    return None


async def _stream(_: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"first", "more_body": True})
    await asyncio.Event().wait()


async def _listen(_: Scope, receive: Receive, _send: Send) -> None:
    while (await receive())["type"] != "websocket.disconnect":
        pass


@pytest.mark.parametrize("fails", [False, True])
async def test_a_host_closes_although_everything_is_open(fails: bool) -> None:
    script = Script(
        actions={"stick": _stick, "wait": _wait, "plan": _plan},
        hooks={"run": _wait_for_mail},
        on_request=_stream,
        on_websocket=_listen,
        queues={"mail": QueueSpec(), "orders": QueueSpec()},
        config=ActorConfig(
            durability="strict",
            sleep_grace_period=5.0,
            can_hibernate_websocket=True,
            run_error_policy="crash",
        ),
    )
    log: list[str] = []
    before = asyncio.all_tasks()
    factory = ActorFactory(
        "scripted",
        lambda context: Scripted(script, context, log),
        {name: ActionSpec() for name in script.actions},
        script.queues,
        script.config,
    )
    clock, store = FakeClock(), MemoryStore()
    host = EmbeddedHost([factory], store=store, clock=clock, entropy=SeededEntropy(1))
    await host.open()
    link = await host.access.connect(A, params=None)
    assert isinstance(await link.receive(), Init)
    socket = await host.access.websocket(A, "/", protocols=(), params=None)
    await host.access.call(A, "plan", cbor.encode([]), params=None)
    link.send(ActionRequest(0, "stick", cbor.encode([1])))
    calls = [
        asyncio.create_task(host.access.call(A, name, cbor.encode([2]), params=None))
        for name in ("stick", "wait")
    ]
    answer = await host.access.fetch(A, RawRequest("GET", "/"), params=None)
    await settle()
    if fails:
        store.failure = StorageError("storage", "unavailable")
    closing = asyncio.create_task(host.close())
    for _ in range(6):
        await clock.advance(5)
    assert await closing == fails
    for call in calls:
        with pytest.raises(RivetError):
            await call
    with pytest.raises(LinkClosed):
        while True:
            await link.receive()
    assert log.count("on_sleep") == 1
    assert log.count("on_disconnect") == log.count("on_connect")
    assert answer.status == 200
    with pytest.raises(LinkClosed):
        await socket.receive()
    await settle()
    assert asyncio.all_tasks() == before
