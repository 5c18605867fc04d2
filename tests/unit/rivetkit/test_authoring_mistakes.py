"""Every mistake is found at registration and answered with what to write instead."""

import pickle
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from pydantic import BaseModel, Field

from rivetkit import (
    ActionGroup,
    Actor,
    Conn,
    Contract,
    Event,
    InvalidActor,
    RivetError,
    Stub,
    action,
    create_state,
)
from rivetkit._compiler import compile_actor


class Opaque:
    """Nothing pydantic could validate."""


class Member(BaseModel):
    name: str


class Strict(BaseModel):
    needed: int


class NearMiss(Actor):
    async def on_conect(self, conn: Conn) -> None: ...


class UndecoratedInitial(Actor):
    state: int

    def create_state(self) -> int:
        return 1


class MissingName(Actor):
    state: "Nowhere"  # pyright: ignore[reportUndefinedVariable]  # noqa: F821 - the point of the test


class MissingActionName(Actor):
    @action
    async def go(self, value: "Nowhere") -> None: ...  # pyright: ignore[reportUndefinedVariable, reportUnknownParameterType]  # noqa: F821


class TwiceNamed(Actor):
    @action
    async def go(self) -> None: ...

    @action(name="go")
    async def run_away(self) -> None: ...


class EventsTwiceNamed(Actor):
    changed = Event[int]()
    altered = Event[int](name="changed")


class OnlyAnnotated(Actor):
    changed: Event[int]


class OnlyAnnotatedInText(Actor):
    changed: "Event[Nowhere]"  # pyright: ignore[reportUndefinedVariable]  # noqa: F821 - the point


class Things(ActionGroup[Any]):
    @action
    async def go(self) -> None: ...


class OnlyAnnotatedGroup(Actor):
    things: Things


class NoDefault(Actor):
    state: Strict


class WrongDefault(Actor):
    state: int = "five"  # pyright: ignore[reportAssignmentType]  # the point of the test


class UntypedState(Actor):
    state = 5


class NoStateAnnotation(Actor):
    @create_state
    def initial(self) -> int:
        return 1


class OtherState(Actor):
    state: int

    @create_state
    def initial(self) -> Member:
        return Member(name="x")


class TwoInitials(Actor):
    state: int

    @create_state
    def first(self) -> int:
        return 1

    @create_state
    def second(self) -> int:
        return 2


class OpaqueParameter(Actor):
    @action
    async def go(self, value: Opaque) -> None: ...


class OpaqueResult(Actor):
    @action
    async def go(self) -> Opaque:
        return Opaque()


class OpaqueState(Actor):
    state: Opaque


class OpaqueEvent(Actor):
    changed = Event[Opaque]()


class Stars(Actor):
    @action
    async def go(self, *names: str) -> None: ...


class DoubleStars(Actor):
    @action
    async def go(self, **names: str) -> None: ...


class NoParameterType(Actor):
    @action
    async def go(self, value) -> None: ...  # pyright: ignore[reportUnknownParameterType, reportMissingParameterType]  # the point of the test


class FieldDefault(Actor):
    @action
    async def go(self, value: int = Field(3)) -> None: ...


class NoResultType(Actor):
    @action
    async def go(self): ...


class ReservedAction(Actor):
    @action
    async def on_wake(self) -> None: ...  # pyright: ignore[reportIncompatibleMethodOverride]  # the point


class ReservedEvent(Actor):
    vars = Event[int]()


class ReservedContext(Actor):
    ctx = 1  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]  # the point


class SyncHook(Actor):
    def on_wake(self) -> None: ...  # pyright: ignore[reportIncompatibleMethodOverride]  # the point


class HookWithoutArgument(Actor):
    async def on_connect(self) -> None: ...  # pyright: ignore[reportIncompatibleMethodOverride]  # the point


class UntypedConnections(Actor):
    async def on_before_connect(self, params: Member) -> None: ...


class MissingHookName(Actor):
    async def on_before_connect(self, params: "Nowhere") -> None: ...  # pyright: ignore[reportUndefinedVariable, reportUnknownParameterType]  # noqa: F821


class UntypedConnection(Actor):
    async def on_connect(self, conn: Conn[Member, None]) -> None: ...


class NoConnState(Actor):
    conn: Conn[None, Member]


class WrongConn(Actor):
    conn: Member


class NoVars(Actor):
    vars: Member


class NeedsArguments(Actor):
    def __init__(self, size: int) -> None:
        self.size = size


class GroupWithEvent(ActionGroup[Any]):
    changed = Event[int]()


class HasGroupWithEvent(Actor):
    group = GroupWithEvent()


class Promise(Contract):
    @action
    async def go(self) -> None:
        raise NotImplementedError


class Unkept(Actor, Promise): ...


class Base(Actor):
    @action
    async def go(self) -> None: ...


class Undecorated(Base):
    async def go(self) -> None: ...  # pyright: ignore[reportIncompatibleVariableOverride]  # the point


class RemoteBase(Stub, Base): ...


class EmptyName(Actor):
    @action(name=".")
    async def go(self) -> None: ...


class UntypedEvent(Actor):
    changed = Event()  # pyright: ignore[reportUnknownVariableType]  # the point of the test


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (NearMiss, "NearMiss.on_conect is not a hook, so it would never run: did you mean on_connect?"),
        (UndecoratedInitial, "create_state would never run: decorate it with @create_state"),
        (MissingName, "'Nowhere' is not defined at module level. Move it out of the function"),
        (MissingActionName, "MissingActionName.go has an annotation that cannot be resolved: 'Nowhere'"),
        (TwiceNamed, "TwiceNamed.go and TwiceNamed.run_away are both called 'go' by clients"),
        (EventsTwiceNamed, "Two events of EventsTwiceNamed are called 'changed' by clients"),
        (OnlyAnnotated, "write `changed = Event[int]()` in place of `changed: Event[int]`"),
        (OnlyAnnotatedInText, "write `changed = Event[Nowhere]()`"),
        (OnlyAnnotatedGroup, "write `things = Things()`"),
        (NoDefault, "cannot make the first state of NoDefault: needed Field required"),
        (WrongDefault, "cannot make the first state of WrongDefault"),
        (UntypedState, "UntypedState.state has no type: write `state: int = 0`"),
        (NoStateAnnotation, "makes a state, but NoStateAnnotation does not say which"),
        (OtherState, "OtherState.initial returns Member, but the state of OtherState is int"),
        (TwoInitials, "TwoInitials has 2 @create_state methods, TwoInitials.first and TwoInitials.second"),
        (OpaqueParameter, "The type of parameter 'value' of OpaqueParameter.go cannot travel"),
        (OpaqueResult, "The type of the result of OpaqueResult.go cannot travel"),
        (OpaqueState, "The type of OpaqueState.state cannot travel"),
        (OpaqueEvent, "The type of the payload of event OpaqueEvent.changed cannot travel"),
        (Stars, "Stars.go takes *names"),
        (DoubleStars, "DoubleStars.go takes **names"),
        (NoParameterType, "Parameter 'value' of NoParameterType.go has no annotation"),
        (FieldDefault, "write `value: Annotated[..., Field(...)] = default`"),
        (NoResultType, "NoResultType.go does not say what it returns"),
        (ReservedAction, "ReservedAction.on_wake takes a name the runtime uses"),
        (ReservedEvent, "ReservedEvent.vars takes a name the runtime uses"),
        (ReservedContext, "ReservedContext.ctx takes a name the runtime uses"),
        (SyncHook, "SyncHook.on_wake is a hook, and hooks are async: write `async def on_wake`"),
        (HookWithoutArgument, "HookWithoutArgument.on_connect has to accept 1 argument after self"),
        (UntypedConnections, "UntypedConnections.on_before_connect expects typed connections"),
        (MissingHookName, "MissingHookName.on_before_connect has an annotation that cannot be resolved"),
        (UntypedConnection, "UntypedConnection.on_connect expects typed connections"),
        (NoConnState, "write `async def create_conn_state(self, params: ...) -> Member`"),
        (WrongConn, "`conn` of WrongConn is Member: write `conn: Conn[Params, State]`"),
        (NoVars, "Nothing makes the vars of NoVars: write `async def create_vars(self) -> Member`"),
        (NeedsArguments, "NeedsArguments cannot be made without arguments"),
        (HasGroupWithEvent, "GroupWithEvent.changed is an event in a group of actions"),
        (Unkept, "Unkept does not implement the action 'go' of its contract Promise"),
        (Undecorated, "Undecorated.go overrides an action but is none itself"),
        (RemoteBase, "RemoteBase is a stub"),
        (EmptyName, "EmptyName.go has an empty name"),
        (UntypedEvent, "UntypedEvent.changed does not say what it carries"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_mistake_is_explained(cls: type[Actor], message: str) -> None:
    with pytest.raises(InvalidActor) as caught:
        compile_actor(cls)
    assert message in caught.value.message


def test_something_else_than_an_actor_is_refused() -> None:
    with pytest.raises(InvalidActor, match=r"Opaque is not an actor: write `class Opaque\(Actor\)`"):
        compile_actor(Opaque)  # pyright: ignore[reportArgumentType]  # the point of the test


def test_a_mistake_has_the_catalogued_identity() -> None:
    with pytest.raises(RivetError) as caught:
        compile_actor(NearMiss)
    assert (caught.value.group, caught.value.code) == ("registry", "invalid_actor")


def test_a_mistake_survives_pickling() -> None:
    copied = pickle.loads(pickle.dumps(InvalidActor("write this instead")))
    assert (type(copied), copied.message) == (InvalidActor, "write this instead")


class Own(Actor):
    """Names that look a little like hooks, attributes that are none of our business."""

    helper: Callable[[], Coroutine[Any, Any, None]]
    limit: int = 3
    vars: int | None = None
    other: "Nowhere"  # pyright: ignore[reportUndefinedVariable]  # noqa: F821 - the point of the test

    async def on_timer(self) -> None: ...

    def create_invoice(self) -> None: ...

    @action
    async def anything(self, value: object) -> object:
        return value


def test_other_members_are_left_alone() -> None:
    assert set(compile_actor(Own).actions) == {"anything"}
