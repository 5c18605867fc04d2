from __future__ import annotations

from collections.abc import AsyncIterator, MutableMapping

import pytest

from examples.chat_room.app import KEPT_MESSAGES, MAX_LENGTH, ChatRoom, Member
from examples.chat_room.page import WEB, page
from rivetkit import ActorHandle, Registry, UserError, ValidationError


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    registry = Registry(ChatRoom, data_dir=":memory:")
    async with registry.lifespan():
        yield registry


def enter(registry: Registry, name: str, room: str = "general") -> ActorHandle[ChatRoom]:
    return registry.client.get_or_create(ChatRoom, room, params=Member(name=name))


def test_a_room_starts_with_the_title_it_was_given() -> None:
    assert ChatRoom().initial(title="General").title == "General"


async def test_a_message_carries_its_author_and_is_trimmed(registry: Registry) -> None:
    message = await enter(registry, " Ada ").call(ChatRoom.post, " hello\n")
    assert (message.author, message.text) == ("Ada", "hello")
    assert await enter(registry, "Bob").call(ChatRoom.history) == [message]


async def test_everybody_in_the_room_hears_a_message(registry: Registry) -> None:
    async with (
        enter(registry, "Ada").connect() as ada,
        enter(registry, "Bob").connect() as bob,
        ada.events(ChatRoom.posted) as at_ada,
        bob.events(ChatRoom.posted) as at_bob,
    ):
        message = await ada.call(ChatRoom.post, "hello")
        assert await anext(aiter(at_ada)) == message
        assert await anext(aiter(at_bob)) == message


async def test_members_are_told_who_came_and_who_left(registry: Registry) -> None:
    async with (
        enter(registry, "Ada").connect() as ada,
        ada.events(ChatRoom.members_changed) as changed,
    ):
        async with enter(registry, "Bob").connect() as bob:
            assert await anext(aiter(changed)) == ["Ada", "Bob"]
            assert await bob.call(ChatRoom.members) == ["Ada", "Bob"]
        assert await anext(aiter(changed)) == ["Ada"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        pytest.param(" \n", "empty_message", id="empty"),
        pytest.param("x" * (MAX_LENGTH + 1), "message_too_long", id="long"),
    ],
)
async def test_a_message_that_does_not_fit_is_refused(registry: Registry, text: str, code: str) -> None:
    with pytest.raises(UserError) as caught:
        await enter(registry, "Ada").call(ChatRoom.post, text)
    assert caught.value.code == code
    assert await enter(registry, "Ada").call(ChatRoom.history) == []


async def test_a_member_needs_a_name(registry: Registry) -> None:
    nobody = registry.client.get_or_create(ChatRoom, "general", params={"name": "  "})
    with pytest.raises(ValidationError, match="params"):
        await nobody.call(ChatRoom.members)


async def test_only_the_last_messages_are_kept(registry: Registry) -> None:
    ada = enter(registry, "Ada")
    for number in range(KEPT_MESSAGES + 1):
        await ada.call(ChatRoom.post, str(number))
    kept = await ada.call(ChatRoom.history)
    assert [message.text for message in kept] == [str(number) for number in range(1, KEPT_MESSAGES + 1)]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/style.css", 200),
        ("/room.js", 200),
        ("/actor.js", 200),
        ("/index.html", 404),
        ("/../app.py", 404),
    ],
)
async def test_the_page_serves_its_own_files_only(path: str, status: int) -> None:
    sent: list[MutableMapping[str, object]] = []

    async def receive() -> MutableMapping[str, object]:
        return {"type": "http.request"}

    async def send(message: MutableMapping[str, object]) -> None:
        sent.append(message)

    await page({"type": "http", "path": path}, receive, send)
    assert sent[0]["status"] == status


def test_every_file_of_the_page_is_served() -> None:
    assert sorted(path.name for path in WEB.iterdir()) == ["actor.js", "index.html", "room.js", "style.css"]
