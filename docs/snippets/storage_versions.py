from typing import Any, ClassVar

from pydantic import BaseModel

from rivetkit import Actor, action, migrate_state


class Profile(BaseModel):
    state_version: ClassVar[int] = 3

    given_name: str = ""
    family_name: str = ""
    languages: list[str] = []

    @migrate_state(1)
    @staticmethod
    def split_the_name(state: dict[str, Any]) -> dict[str, Any]:
        given, _, family = state["name"].partition(" ")
        return {"given_name": given, "family_name": family}

    @migrate_state(2)
    @staticmethod
    def add_languages(state: dict[str, Any]) -> dict[str, Any]:
        return {**state, "languages": ["en"]}


class Person(Actor):
    state: Profile

    @action
    async def greeting(self) -> str:
        return f"Hello {self.state.given_name}"
