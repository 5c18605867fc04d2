"""The tasks of one actor."""

from __future__ import annotations

import asyncio

import pytest

from rivetkit_core.actor.work import WorkKind, WorkRegistry
from rivetkit_core.errors import RivetError
from rivetkit_core.testing import settle


async def nothing() -> None: ...


async def fail() -> None:
    raise RuntimeError("broken work")


async def test_waiting_ends_when_the_last_task_has_ended() -> None:
    work, release = WorkRegistry(), asyncio.Event()

    async def first() -> None:
        await release.wait()
        work.spawn(WorkKind.ACTION, nothing())

    work.spawn(WorkKind.ACTION, first())
    waiting = asyncio.create_task(work.wait_idle())
    await settle()
    assert not waiting.done()
    release.set()
    await waiting
    assert work.active == 0


async def test_waiting_for_nothing_returns_at_once() -> None:
    await WorkRegistry().wait_idle()


async def test_a_region_counts_as_work_however_deep() -> None:
    work = WorkRegistry()
    with work.region():
        with work.region():
            assert work.active == 1
        assert work.active == 1
        waiting = asyncio.create_task(work.wait_idle())
        await settle()
        assert not waiting.done()
    await waiting


async def test_saves_are_not_activity_but_are_waited_for() -> None:
    work, release = WorkRegistry(), asyncio.Event()

    async def save() -> None:
        await release.wait()

    work.spawn(WorkKind.SAVE, save())
    assert work.active == 0
    waiting = asyncio.create_task(work.wait_idle())
    await settle()
    assert not waiting.done()
    assert work.cancel_all() == 0
    release.set()
    await waiting


async def test_a_failure_is_logged_with_its_label(caplog: pytest.LogCaptureFixture) -> None:
    work = WorkRegistry()
    work.spawn(WorkKind.DISCONNECT, fail())
    await work.wait_idle()
    assert "disconnect_callback failed" in caplog.text
    assert "broken work" in caplog.text


async def test_work_after_the_end_is_refused_and_closed() -> None:
    work = WorkRegistry()
    work.close()
    coroutine = nothing()
    with pytest.raises(RivetError):
        work.spawn(WorkKind.ACTION, coroutine)
    assert coroutine.cr_frame is None
    with pytest.raises(RivetError), work.region():
        pass


async def test_cancelling_reaches_a_task_once_even_inside_a_region() -> None:
    work = WorkRegistry()
    cancellations: list[int] = []

    async def inside() -> None:
        with work.region():
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                task = asyncio.current_task()
                assert task is not None
                assert work.was_cancelled(task)
                cancellations.append(task.cancelling())
                raise

    work.spawn(WorkKind.ACTION, inside())
    await settle()
    assert work.cancel_all() == 1
    await work.wait_idle()
    assert cancellations == [1]


async def test_cancelling_a_wait_leaves_the_work_alone() -> None:
    work, release = WorkRegistry(), asyncio.Event()

    async def wait() -> None:
        await release.wait()

    task = work.spawn(WorkKind.ACTION, wait())
    waiting = asyncio.create_task(work.wait_idle())
    await settle()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert not task.done()
    release.set()
    await work.wait_idle()
