from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import pytest
from live_world import Counter

from rivetkit.client import SyncClient
from rivetkit.client._portal import Portal
from rivetkit_core.errors import ActorNotFound, RivetError, error
from rivetkit_core.host.port import ByKey
from rivetkit_core.testing.links import ScriptedAccess, ScriptedLink
from rivetkit_core.wire import cbor
from rivetkit_core.wire.messages import ActionRequest, ActionResponse, Event, SubscriptionRequest, ToServer


class AnsweringLink(ScriptedLink):
    """Answers every action with its first argument and every subscription with the events 1 and 2."""

    def send(self, message: ToServer) -> None:
        super().send(message)
        match message:
            case ActionRequest(action_id, _, args):
                given = cast("list[object]", cbor.decode(args))
                self.deliver(ActionResponse(action_id, cbor.encode(given[0])))
            case SubscriptionRequest(name, True):
                self.deliver(Event(name, cbor.encode([1])))
                self.deliver(Event(name, cbor.encode([2])))
            case SubscriptionRequest():
                pass


class AnsweringAccess(ScriptedAccess):
    async def connect(self, target: object, *, params: bytes | None) -> AnsweringLink:
        opened = await super().connect(ByKey("counter", ()), params=params)
        link = AnsweringLink(params)
        link.deliver(await opened.receive())
        self.links.append(link)
        return link


def test_calls_block_and_return_declared_types() -> None:
    access = ScriptedAccess()
    access.next_call(cbor.encode(3), cbor.encode(4), cbor.encode("plain"))
    with SyncClient(transport=access) as client:
        counter = client.get_or_create(Counter, "a")
        assert counter.call(Counter.increment, by=3) == 3
        assert counter.action(Counter.increment, timeout=5.0, params={"who": 1})(4) == 4
        assert counter.call_by_name("anything") == "plain"
        assert counter.resolve() == "id of counter"
    assert [call.params for call in access.calls] == [None, cbor.encode({"who": 1}), None]


def test_errors_are_raised_where_the_call_was_made() -> None:
    access = ScriptedAccess()
    access.next_call(error("actor.not_found"))
    with SyncClient(transport=access) as client, pytest.raises(ActorNotFound):
        client.get(Counter, "a").call(Counter.increment)


def test_every_kind_of_handle_is_made() -> None:
    access = ScriptedAccess()
    access.next_call(*[cbor.encode(1)] * 5)
    with SyncClient(transport=access) as client:
        client.create(Counter, "a").call(Counter.increment)
        client.get_for_id(Counter, "x").call(Counter.increment)
        client.get_by_name("counter", "a").call_by_name("increment")
        client.get_or_create_by_name("counter", "a", input=1).call_by_name("increment")
        client.create_by_name("counter").call_by_name("increment")
    assert len(access.calls) == 5


def test_a_connection_and_its_events_work_with_plain_for_loops() -> None:
    access = AnsweringAccess()
    with SyncClient(transport=access) as client:
        counter = client.get_or_create(Counter, "a")
        with counter.connect(params={"name": "Ada"}) as conn, conn.events(Counter.changed) as changed:
            assert (conn.status, conn.actor_id, conn.connection_id) == (
                "connected",
                "actor-1",
                "connection-1",
            )
            assert conn.call(Counter.increment, 5) == 5
            assert conn.action(Counter.increment, timeout=5.0)(6) == 6
            assert conn.call_by_name("increment", 7) == 7
            assert [value for _, value in zip(range(2), changed, strict=False)] == [1, 2]
        assert conn.status == "closed"
    assert cbor.decode(access.link.params or b"") == {"name": "Ada"}


def test_once_waits_for_one_event() -> None:
    with (
        SyncClient(transport=AnsweringAccess()) as client,
        client.get_or_create(Counter, "a").connect() as conn,
    ):
        assert conn.once(Counter.changed, timeout=5.0) == 1
        with conn.events_by_name("other") as other:
            assert next(other) == (1,)


def test_closing_a_stream_from_another_thread_ends_its_loop() -> None:
    with (
        SyncClient(transport=AnsweringAccess()) as client,
        client.get_or_create(Counter, "a").connect() as conn,
        conn.events(Counter.changed) as changed,
    ):
        seen: list[int] = []
        closer = threading.Thread(target=changed.close)
        for value in changed:
            seen.append(value)
            if value == 2:
                closer.start()
        closer.join()
    assert seen == [1, 2]


def test_several_threads_share_a_connection() -> None:
    with (
        SyncClient(transport=AnsweringAccess()) as client,
        client.get_or_create(Counter, "a").connect() as conn,
        ThreadPoolExecutor(8) as pool,
    ):

        def call(number: int) -> int:
            return conn.call(Counter.increment, number)

        answers = list(pool.map(call, range(50)))
    assert answers == list(range(50))


def test_a_closed_client_refuses_calls() -> None:
    client = SyncClient(transport=ScriptedAccess())
    counter = client.get(Counter, "a")
    client.close()
    client.close()
    with pytest.raises(RivetError, match=r"client\.disposed"):
        counter.call(Counter.increment)


def test_closing_the_client_before_its_connection_is_harmless() -> None:
    client = SyncClient(transport=AnsweringAccess())
    with client.get_or_create(Counter, "a").connect() as conn, conn.events(Counter.changed):
        client.close()
    assert conn.status == "closed"


def test_an_interrupted_wait_cancels_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    cancelled, begun = threading.Event(), threading.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    class Interrupted:
        """What a caller sees when Ctrl-C arrives while it waits."""

        def __init__(self, portal: Portal) -> None:
            self._start: Callable[..., object] = portal._started().start_task_soon  # pyright: ignore[reportPrivateUsage]  # the seam of this test

        def start_task_soon(self, function: Callable[[], object]) -> object:
            future = self._start(function)

            def interrupted() -> None:
                begun.wait()
                raise KeyboardInterrupt

            monkeypatch.setattr(future, "result", interrupted)
            return future

    portal = Portal()
    interrupted = Interrupted(portal)
    with monkeypatch.context() as patched:
        patched.setattr(portal, "_started", lambda: interrupted)
        with pytest.raises(KeyboardInterrupt):
            portal.run(work)
    assert cancelled.wait(5)
    portal.close()
