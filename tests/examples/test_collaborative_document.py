from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.collaborative_document.app import KEPT_EDITS, Author, Change, Document, registry
from examples.collaborative_document.editor import Editor
from examples.collaborative_document.edits import Edit
from rivetkit import ActorHandle, Registry, UserError
from rivetkit.testing import RivetTest


@pytest.fixture
def rivet_registry() -> Registry:
    return registry


@pytest.fixture
def document(rivet: RivetTest) -> ActorHandle[Document]:
    return rivet.client.get_or_create(Document, "notes", params=Author(name="Ada"))


@contextlib.asynccontextmanager
async def editing(document: ActorHandle[Document], name: str) -> AsyncGenerator[Editor]:
    """An editor that hears of every change."""
    async with document.connect(params=Author(name=name)) as conn, conn.events(Document.changed) as changes:
        editor = await Editor.open(conn)

        async def listen() -> None:
            async for change in changes:
                await editor.hear(change)

        async with asyncio.TaskGroup() as group:
            listening = group.create_task(listen())
            yield editor
            listening.cancel()


async def insert(document: ActorHandle[Document], version: int, text: str) -> Change:
    return await document.call(Document.edit, f"{version}", version, Edit(position=0, inserted=text))


@pytest.mark.parametrize(
    ("text", "first", "second", "result"),
    [
        pytest.param(
            "ab", Edit(position=0, inserted="x"), Edit(position=2, inserted="y"), "xaby", id="apart"
        ),
        pytest.param("ab", Edit(position=1, inserted="x"), Edit(position=1, inserted="y"), "axyb", id="same"),
        pytest.param("abcd", Edit(position=0, removed=2), Edit(position=1, removed=2), "d", id="overlap"),
        pytest.param("abcd", Edit(position=2, inserted="x"), Edit(position=0, removed=2), "xcd", id="beside"),
        pytest.param("abcd", Edit(position=0, removed=4), Edit(position=2, inserted="x"), "x", id="gone"),
    ],
)
def test_an_edit_allows_for_an_earlier_one(text: str, first: Edit, second: Edit, result: str) -> None:
    assert second.after(first).apply(first.apply(text)) == result


@st.composite
def edits(draw: st.DrawFn, length: int) -> Edit:
    start, end = sorted((draw(st.integers(0, length)), draw(st.integers(0, length))))
    return Edit(position=start, removed=end - start, inserted=draw(st.text("xyz", max_size=3)))


@given(edits(8), edits(8))
def test_an_edit_fits_whatever_came_first(first: Edit, second: Edit) -> None:
    text = first.apply("abcdefgh")
    moved = second.after(first)
    assert moved.fits(text)
    assert second.inserted in moved.apply(text)


async def test_two_who_write_at_once_have_the_same_text(
    rivet: RivetTest, document: ActorHandle[Document]
) -> None:
    async with editing(document, "Ada") as ada, editing(document, "Bob") as bob:
        await ada.write(0, "Hello world")
        await rivet.clock.advance()
        await asyncio.gather(ada.write(5, ", dear"), bob.write(11, "!"), bob.write(0, "J", removed=1))
        await rivet.clock.advance()
        assert ada.text == bob.text == (await document.call(Document.read)).text == "Jello, dear world!"


async def test_who_was_away_catches_up(rivet: RivetTest, document: ActorHandle[Document]) -> None:
    async with document.connect(params=Author(name="Bob")) as conn:
        bob = await Editor.open(conn)
        changes = [await insert(document, version, word) for version, word in enumerate(("1", "2", "3"))]
        await bob.hear(changes[-1])
        assert bob.text == "321"


async def test_what_others_saw_survives_a_crash(rivet: RivetTest, document: ActorHandle[Document]) -> None:
    async with editing(document, "Ada") as ada:
        await ada.write(0, "kept")
        await rivet.crash(document)
        await ada.write(4, " too")
        assert (await document.call(Document.read)).text == "kept too"


async def test_a_document_wakes_as_it_was(rivet: RivetTest, document: ActorHandle[Document]) -> None:
    await insert(document, 0, "hello")
    await rivet.clock.advance(days=365)
    assert not await rivet.is_awake(document)
    assert (await document.call(Document.read)).text == "hello"


async def test_an_edit_that_is_sent_again_is_made_once(document: ActorHandle[Document]) -> None:
    assert await insert(document, 0, "once") == await insert(document, 0, "once")
    assert (await document.call(Document.read)).text == "once"


async def test_a_document_sleeps_while_its_editors_stay_connected(
    rivet: RivetTest, document: ActorHandle[Document]
) -> None:
    async with editing(document, "Ada") as ada, editing(document, "Bob") as bob:
        await ada.write(0, "hello")
        for text in ("hello!", "hello!!"):
            await rivet.clock.advance(days=1)
            assert not await rivet.is_awake(document)
            await bob.write(5, "!")
            await rivet.clock.advance()
            assert ada.text == bob.text == text


async def test_people_are_announced(document: ActorHandle[Document]) -> None:
    ada = document.connect(params=Author(name="Ada"))
    async with ada as conn, conn.events(Document.people) as people:
        async with document.connect(params=Author(name="Bob")):
            assert await anext(people) == ["Ada", "Bob"]
        assert await anext(people) == ["Ada"]


async def test_an_edit_that_cannot_be_placed_is_refused(document: ActorHandle[Document]) -> None:
    for version in range(KEPT_EDITS + 1):
        await insert(document, version, "x")
    with pytest.raises(UserError, match="too long ago"):
        await insert(document, 0, "x")
    with pytest.raises(UserError, match="beyond the end"):
        await document.call(Document.edit, "id", KEPT_EDITS + 1, Edit(position=KEPT_EDITS + 2))


@pytest.mark.parametrize("seed", range(10))
async def test_in_whatever_order_edits_come_all_have_one_text(seed: int) -> None:
    async with RivetTest(registry, seed=seed) as rivet:
        document = rivet.client.get_or_create(Document, "notes", params=Author(name="Ada"))
        async with editing(document, "Ada") as ada, editing(document, "Bob") as bob:
            await asyncio.gather(*(who.write(0, text) for who in (ada, bob) for text in ("ab", "cd", "ef")))
            await rivet.clock.advance()
            assert ada.text == bob.text
            assert sorted(ada.text) == sorted("abcdef" * 2)
