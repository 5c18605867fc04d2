from __future__ import annotations

from typing import TYPE_CHECKING

from rivetkit import ActionGroup, action

if TYPE_CHECKING:
    from tests.unit.rivetkit.test_action_groups import Room  # noqa: F401 - the base classes name it


class Bans(ActionGroup["Room"]):
    @action(name="put")
    def add(self, name: str) -> list[str]:
        self.actor.state.append(f"banned {name}")
        return self.actor.state


class Users(ActionGroup["Room"]):
    bans = Bans()

    @action
    async def add(self, name: str) -> int:
        self.actor.state.append(name)
        return len(self.actor.state)
