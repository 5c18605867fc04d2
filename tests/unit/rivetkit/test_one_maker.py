"""A first value is made in one way: by a default or by a method."""

from __future__ import annotations

import pytest

from rivetkit import Actor, InvalidActor, create_state
from rivetkit._compiler import compile_actor


class TwoStates(Actor):
    state: int = 5

    @create_state
    def initial(self) -> int:
        return 7


class TwoVars(Actor):
    vars: dict[str, int] = {}  # noqa: RUF012 - the runtime copies it

    async def create_vars(self) -> dict[str, int]:
        return {}


class MadeVars(Actor):
    vars: dict[str, int]

    async def create_vars(self) -> dict[str, int]:
        return {"made": 1}


class DefaultBelow(MadeVars):
    vars: dict[str, int] = {}  # noqa: RUF012 - the runtime copies it


class DefaultVars(Actor):
    vars: dict[str, int] = {}  # noqa: RUF012 - the runtime copies it


class MethodBelow(DefaultVars):
    async def create_vars(self) -> dict[str, int]:
        return {"made": 2}


class DefaultState(Actor):
    state: int = 5


class MethodForState(DefaultState):
    @create_state
    def initial(self) -> int:
        return 7


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (TwoStates, "TwoStates.state has a default, and initial of TwoStates makes it as well"),
        (TwoVars, "TwoVars.vars has a default, and create_vars of TwoVars makes it as well"),
        (DefaultBelow, "DefaultBelow.vars has a default, and create_vars of DefaultBelow makes it as well"),
    ],
)
def test_a_default_that_would_be_ignored_is_refused(cls: type[Actor], message: str) -> None:
    with pytest.raises(InvalidActor, match=message):
        compile_actor(cls)


@pytest.mark.parametrize("cls", [MadeVars, DefaultVars, MethodBelow, MethodForState])
def test_a_subclass_may_make_what_its_base_has_a_default_for(cls: type[Actor]) -> None:
    compile_actor(cls)
