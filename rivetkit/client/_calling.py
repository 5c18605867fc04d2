"""What handles and connections have in common: actions, by reference and by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Generic, ParamSpec

from typing_extensions import TypeVar

from rivetkit._job import QueueRef
from rivetkit._references import ActionRef, EventRef
from rivetkit.client._payload import decode_value, encode_value

if TYPE_CHECKING:
    from rivetkit._contract import Contract

A = TypeVar("A", bound="Contract")
P = ParamSpec("P")
R = TypeVar("R")


def require_action(ref: object) -> None:
    """Refuse what is no reference to an action, before anything is sent.

    Raises:
        TypeError: It is a name, a method of an instance, or an event.
    """
    if isinstance(ref, ActionRef):
        return
    if isinstance(ref, str):
        raise TypeError(
            f"an action is named by its class, as in Room.post; by name use call_by_name({ref!r})"
        )
    raise TypeError(f"an action is named by its class, as in Room.post, not by {ref!r}")


def require_event(ref: object) -> None:
    """Refuse what is no reference to an event.

    Raises:
        TypeError: It is a name, or an action.
    """
    if isinstance(ref, EventRef):
        return
    if isinstance(ref, str):
        raise TypeError(
            f"an event is named by its class, as in Room.posted; by name use events_by_name({ref!r})"
        )
    raise TypeError(f"an event is named by its class, as in Room.posted, not by {ref!r}")


def require_queue(ref: object) -> None:
    """Refuse what is no reference to a queue.

    Raises:
        TypeError: It is a name, or an action.
    """
    if isinstance(ref, QueueRef):
        return
    if isinstance(ref, str):
        raise TypeError(f"a queue is named by its class, as in Room.jobs; by name use send_by_name({ref!r})")
    raise TypeError(f"a queue is named by its class, as in Room.jobs, not by {ref!r}")


class CallsActions(ABC, Generic[A]):
    """Calls the actions of one actor.

    Wrong arguments raise ``TypeError`` or ``ValidationError`` before anything is sent. Cancelling a call
    drops its answer; the action runs on.
    """

    @abstractmethod
    async def _invoke(self, name: str, args: bytes, timeout: float | None) -> bytes: ...

    async def call(self, ref: ActionRef[A, P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run an action and return its result. ``action`` takes options such as a timeout.

        Raises:
            RivetError: What the actor answered, or a ``client.*`` error if no answer came.
            ValidationError: An argument or the result does not fit its declared type.
        """
        return await self.action(ref)(*args, **kwargs)

    def action(
        self, ref: ActionRef[A, P, R], /, *, timeout: float | None = None
    ) -> Callable[P, Coroutine[Any, Any, R]]:
        """Bind an action with its options, to be called with its own arguments.

        Args:
            ref: The action.
            timeout: Seconds to wait for the answer; the client's default if None, ``math.inf`` for no limit.
        """

        require_action(ref)

        async def bound(*args: P.args, **kwargs: P.kwargs) -> R:
            return ref.decode_output(await self._invoke(ref.name, ref.encode_args(*args, **kwargs), timeout))

        return bound

    async def call_by_name(self, name: str, /, *args: object, timeout: float | None = None) -> object:
        """Run an action without a declaration: plain data in, plain data out.

        Raises:
            RivetError: As for ``call``; ``actor.action_not_found`` for a name that does not exist.
        """
        encoded = encode_value(list(args), f"action `{name}` arguments")
        return decode_value(await self._invoke(name, encoded, timeout), f"action `{name}` output")
