"""The key-value store of one actor: what is durable when, and that it is a dictionary."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivetkit_core.actor.factory import ActionSpec
from rivetkit_core.actor.kv import KeyValues
from rivetkit_core.actor.lifecycle import StopKind
from rivetkit_core.config import ActorConfig
from rivetkit_core.errors import StorageError, error
from rivetkit_core.testing import settle
from tests.unit.actor.scripted import Script, Scripted, World, call

Program = Callable[[Scripted, KeyValues], Awaitable[object]]


def world(program: Program, *, strict: bool = True) -> World:
    """One action, ``go``, which runs the program; ``look`` returns what is stored of the user."""

    async def go(actor: Scripted, _args: list[object]) -> object:
        return await program(actor, actor.context.kv)

    async def look(actor: Scripted, _args: list[object]) -> object:
        return [list(pair) for pair in await actor.context.kv.list(b"")]

    specs = {"go": ActionSpec(durability="strict" if strict else "throttled")}
    return World(
        Script(actions={"go": go, "look": look}, specs=specs, config=ActorConfig(state_save_interval=60.0))
    )


def records(of: World) -> dict[bytes, bytes]:
    """What storage has, the state's own record left out."""
    return {key: value for key, value in of.store.records[of.ACTOR_ID].items() if key[:1] == b"\x04"}


async def change_both(actor: Scripted, kv: KeyValues) -> object:
    actor.state = 1
    await kv.put({b"a": b"1"})
    await kv.put({b"b": b"2"})
    return await kv.get([b"a", b"missing"])


async def test_strict_code_stores_state_and_values_in_one_write() -> None:
    one = world(change_both)
    task = await one.started()
    writes = one.store.writes
    assert await call(task, "go") == [b"1", None]
    assert one.store.writes == writes + 1
    assert (await one.stored_state(), records(one)) == (1, {b"\x04a": b"1", b"\x04b": b"2"})


async def test_nothing_of_strict_code_is_stored_when_its_write_fails() -> None:
    one = world(change_both)
    task = await one.started()
    one.store.fail_next(error("storage.unavailable"))
    with pytest.raises(StorageError):
        await call(task, "go")
    assert (await one.stored_state(), records(one)) == (0, {})
    assert await call(task, "look") == [[b"a", b"1"], [b"b", b"2"]]
    await one.clock.advance(0.1)
    assert (await one.stored_state(), len(records(one))) == (1, 2)


async def test_neither_is_stored_before_the_answer() -> None:
    one = world(change_both)
    task = await one.started()
    one.store.hold_writes()
    calling = asyncio.create_task(call(task, "go"))
    await settle()
    assert not calling.done()
    assert (await one.stored_state(), records(one)) == (0, {})
    one.store.release_writes()
    await calling
    assert (await one.stored_state(), len(records(one))) == (1, 2)


async def test_other_code_stores_values_at_once() -> None:
    one = world(change_both, strict=False)
    task = await one.started()
    await call(task, "go")
    assert (await one.stored_state(), len(records(one))) == (0, 2)


async def test_a_throttled_write_follows_the_strict_one_before_it() -> None:
    async def program(actor: Scripted, kv: KeyValues) -> object:
        await kv.put({b"a": b"strict"})
        return None

    one = world(program)
    task = await one.started()
    await call(task, "go")

    async def both() -> None:
        kv = one.instance.context.kv
        with task.outbox.durability(strict=True):
            await kv.put({b"a": b"first"})
        await kv.put({b"a": b"second"})

    await both()
    assert await call(task, "look") == [[b"a", b"second"]]


async def test_what_waits_is_stored_by_the_final_save() -> None:
    one = world(change_both)
    task = await one.started()
    with task.outbox.durability(strict=True):
        await one.instance.context.kv.put({b"a": b"1"})
        await one.instance.context.kv.delete([b"b"])
    assert records(one) == {}
    await task.stop(StopKind.SLEEP)
    assert records(one) == {b"\x04a": b"1"}


async def test_hooks_of_the_start_may_use_the_store_before_there_is_a_state() -> None:
    async def migrate(actor: Scripted) -> None:
        await actor.context.kv.put({b"a": b"1"})
        assert await actor.context.kv.list(b"") == [(b"a", b"1")]

    hooks = dict.fromkeys(["on_migrate", "on_create", "on_wake"], migrate)
    one = World(Script(hooks=hooks, config=ActorConfig(durability="strict")))
    await one.started()
    assert records(one) == {b"\x04a": b"1"}


async def test_an_actor_without_state_may_be_strict() -> None:
    async def go(actor: Scripted, _args: list[object]) -> object:
        await actor.context.kv.put({b"a": b"1"})
        return records(one)

    one = World(Script(actions={"go": go}, has_state=False, config=ActorConfig(durability="strict")))
    task = await one.started()
    assert await call(task, "go") == {}
    assert records(one) == {b"\x04a": b"1"}


async def test_more_than_one_write_takes_is_stored_in_several() -> None:
    async def program(_actor: Scripted, kv: KeyValues) -> object:
        for batch in range(4):
            await kv.put({f"{batch} {number}".encode(): b"x" * 100 for number in range(100)})
        await kv.put({f"all {number}".encode(): b"" for number in range(128)})
        return len(await kv.list(b""))

    one = world(program)
    task = await one.started()
    assert await call(task, "go") == 528
    assert len(records(one)) == 528


async def test_the_store_closes_with_its_generation() -> None:
    one = world(change_both)
    task = await one.started()
    await task.stop(StopKind.SLEEP)
    with pytest.raises(Exception, match=r"kv\.closed"):
        await one.instance.context.kv.get([b"a"])


async def test_a_negative_limit_is_a_mistake() -> None:
    one = world(change_both)
    await one.started()
    with pytest.raises(ValueError, match="limit is -1"):
        await one.instance.context.kv.list(b"", limit=-1)


KEYS = st.binary(max_size=3).map(lambda key: bytes(byte % 4 * 85 for byte in key))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.dictionaries(KEYS, st.binary(max_size=2), max_size=3)),
        st.tuples(st.just("delete"), st.lists(KEYS, max_size=3)),
        st.tuples(st.just("delete_range"), st.tuples(KEYS, st.none() | KEYS)),
        st.tuples(st.just("get"), st.lists(KEYS, max_size=3)),
        st.tuples(st.just("list"), st.tuples(KEYS, st.booleans(), st.none() | st.integers(0, 3))),
        st.tuples(st.just("list_range"), st.tuples(KEYS, st.none() | KEYS)),
        st.tuples(st.just("restart"), st.none()),
    ),
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(steps=STEPS, strict=st.lists(st.booleans(), min_size=12, max_size=12))
def test_a_store_is_a_sorted_dictionary(steps: list[tuple[str, object]], strict: list[bool]) -> None:
    asyncio.run(_compare(steps, strict))


async def _compare(steps: list[tuple[str, object]], strict: list[bool]) -> None:
    one = World(Script())
    task = await one.started()
    model: dict[bytes, bytes] = {}
    for (step, given_), gated in zip(steps, strict, strict=False):
        if step == "restart":
            await task.stop(StopKind.SLEEP)
            task = await one.started()
        with task.outbox.durability(strict=gated):
            await _step(one.instance.context.kv, model, step, given_)
    await task.stop(StopKind.SLEEP)
    assert records(one) == {b"\x04" + key: value for key, value in model.items()}


async def _step(kv: KeyValues, model: dict[bytes, bytes], step: str, given_: object) -> None:
    match step:
        case "put":
            entries = cast("dict[bytes, bytes]", given_)
            await kv.put(entries)
            model.update(entries)
        case "delete":
            gone = cast("list[bytes]", given_)
            await kv.delete(gone)
            for key in gone:
                model.pop(key, None)
        case "delete_range":
            start, end = cast("tuple[bytes, bytes | None]", given_)
            await kv.delete_range(start, end)
            for key in _between(model, start, end):
                del model[key]
        case "get":
            asked = cast("list[bytes]", given_)
            assert await kv.get(asked) == [model.get(key) for key in asked]
        case _:
            await _listed(kv, model, step, given_)


async def _listed(kv: KeyValues, model: dict[bytes, bytes], step: str, given_: object) -> None:
    if step == "list":
        prefix, reverse, limit = cast("tuple[bytes, bool, int | None]", given_)
        keys = sorted((key for key in model if key.startswith(prefix)), reverse=reverse)[:limit]
        found = await kv.list(prefix, reverse=reverse, limit=limit)
        assert found == [(key, model[key]) for key in keys]
    elif step == "list_range":
        start, end = cast("tuple[bytes, bytes | None]", given_)
        found = await kv.list_range(start, end)
        assert found == [(key, model[key]) for key in _between(model, start, end)]


def _between(model: dict[bytes, bytes], start: bytes, end: bytes | None) -> list[bytes]:
    return sorted(key for key in model if start <= key and (end is None or key < end))
