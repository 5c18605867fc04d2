from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar, cast

import pytest

from rivetkit import (
    ActionGroup,
    ActionRef,
    Actor,
    Contract,
    Event,
    EventRef,
    LiveStub,
    NotConnected,
    Stub,
    Subscription,
    action,
)
from rivetkit_core.wire import cbor

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class CounterContract(Contract):
    changed = Event[int]()

    @action
    async def increment(self, by: int = 1) -> int:
        raise NotImplementedError

    @action
    def peek(self) -> int:
        raise NotImplementedError


class Group(ActionGroup["Counter"]): ...


class Counter(Actor):
    state: int = 0
    group = Group()

    @action
    def peek(self) -> int:
        return self.state

    def helper(self) -> int:
        return 1


class Echo:
    """A connection that answers an action with its encoded arguments and a subscription with itself."""

    def action(
        self, ref: ActionRef[Any, P, R], /, *, timeout: float | None = None
    ) -> Callable[P, Coroutine[Any, Any, R]]:
        async def bound(*args: P.args, **kwargs: P.kwargs) -> R:
            return cast("R", (ref.name, cbor.decode(ref.encode_args(*args, **kwargs))))

        return bound

    def events(self, ref: EventRef[Any, T], /) -> Subscription[T]:
        return cast("Subscription[T]", ("subscribed", ref.name))


class CounterStub(Stub, CounterContract): ...


class LiveCounter(LiveStub, CounterContract): ...


class SharedStub(Stub, Counter): ...


async def test_a_stub_sends_actions() -> None:
    assert cast("object", await CounterStub(Echo()).increment(by=5)) == ("increment", [5])


async def test_a_plain_action_is_awaited_on_a_stub() -> None:
    assert cast("object", await SharedStub(Echo()).peek()) == ("peek", [])


def test_a_live_stub_subscribes() -> None:
    assert cast("object", LiveCounter(Echo()).changed) == ("subscribed", "changed")


def test_a_stateless_stub_has_no_stream() -> None:
    assert isinstance(CounterStub(Echo()).changed, NotConnected)


@pytest.mark.parametrize("name", ["state", "helper", "on_wake", "ctx", "nope", "group"])
def test_a_stub_shows_actions_and_events_only(name: str) -> None:
    with pytest.raises(AttributeError, match=f"SharedStub has no action, event or queue '{name}'"):
        getattr(SharedStub(Echo()), name)
