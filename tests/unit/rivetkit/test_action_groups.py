from __future__ import annotations

import pytest

from rivetkit import Actor, actor
from tests.unit.rivetkit.typed_fakes import call, start
from tests.unit.rivetkit.typed_groups import Users


@actor
class Room(Actor):
    state: list[str]
    users = Users()


def test_a_grouped_action_has_a_dotted_name() -> None:
    assert Room.users.add.name == "users.add"


def test_groups_nest() -> None:
    assert Room.users.bans.add.name == "users.bans.put"


async def test_a_grouped_action_runs_on_its_actor() -> None:
    room = start(Room)
    await room.create_state(None)
    assert await call(room, "users.add", "Ada") == 1
    assert await call(room, "users.bans.put", "Bob") == ["Ada", "banned Bob"]


async def test_a_group_works_on_an_actor_without_a_runtime() -> None:
    room = Room()
    room.state = []
    assert await room.users.add("Ada") == 1


def test_two_actors_do_not_share_a_group() -> None:
    first, second = Room(), Room()
    assert first.users.actor is first
    assert second.users.actor is second


def test_a_group_refers_to_declared_actions_only() -> None:
    with pytest.raises(AttributeError, match="Users has no action or group 'nope'"):
        getattr(Room.users, "nope")  # noqa: B009 - a checker would refuse the attribute


def test_a_group_class_alone_gives_no_reference() -> None:
    with pytest.raises(AttributeError, match="reach it through the actor"):
        _ = Users.add


def test_an_unbound_group_has_no_actor() -> None:
    with pytest.raises(AttributeError, match="not bound"):
        _ = Users().actor


def test_a_group_on_the_class_is_readable() -> None:
    assert repr(Room.users) == "<Users as users>"
