"""Handles: stateless access to one actor. Making one costs nothing and does no I/O."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, runtime_checkable

from typing_extensions import TypeVar

from rivetkit.client._bounds import bounded
from rivetkit.client._calling import CallsActions, require_action
from rivetkit.client._connection import ActorConnection
from rivetkit.client._payload import encode_params
from rivetkit.client._retry import repeat_between_lives
from rivetkit.client._scope import ClientScope, describe
from rivetkit.client._sending import SendsMessages, deliver
from rivetkit.client._web import ReachesWeb
from rivetkit_core.errors import error
from rivetkit_core.host.port import Target
from rivetkit_core.wire.messages import QueueSendRequest, QueueSendResponse

if TYPE_CHECKING:
    from rivetkit._contract import Contract
    from rivetkit._references import ActionRef

A = TypeVar("A", bound="Contract")
P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

UNCHANGED = object()
"""As ``params`` of one call: those of the handle."""


@runtime_checkable
class HasGateway(Protocol):
    """A transport with URLs that others can use as well."""

    async def gateway_url(self, target: Target) -> str: ...


class ActorHandle(CallsActions[A], SendsMessages[A], ReachesWeb):
    """Calls one actor; every call finds it anew, so a handle never goes stale.

    A call is repeated while its actor is between two lives (starting, stopping), when it is certain that
    nothing ran. Every other failure is the caller's to judge.
    """

    def __init__(self, scope: ClientScope, target: Target, params: object = None) -> None:
        self._scope = scope
        self._target = target
        self._params = params

    @property
    def target(self) -> Target:
        """Which actor this is, as transports and hosts know it."""
        return self._target

    def action(
        self, ref: ActionRef[A, P, R], /, *, timeout: float | None = None, params: object = UNCHANGED
    ) -> Callable[P, Coroutine[Any, Any, R]]:
        """Bind an action with its options, to be called with its own arguments.

        Args:
            ref: The action.
            timeout: Seconds to wait for the answer; the client's default if None, ``math.inf`` for no limit.
            params: Connection parameters of this call, instead of the handle's.
        """
        require_action(ref)
        handle = self if params is UNCHANGED else self._with_params(params)

        async def bound(*args: P.args, **kwargs: P.kwargs) -> R:
            encoded = ref.encode_args(*args, **kwargs)
            return ref.decode_output(await handle._invoke(ref.name, encoded, timeout))

        return bound

    async def resolve(self, *, timeout: float | None = None) -> str:
        """The actor's id. Makes the actor first if this is a ``get_or_create`` handle.

        Raises:
            ActorNotFound: There is none.
        """
        return await self._bounded(lambda: self._scope.access.resolve(self._target), timeout)

    async def gateway_url(self) -> str:
        """The URL under which others reach this actor, without a path. It may contain the client's token.

        Raises:
            RivetError: ``actor.invalid_operation`` where actors are reached without a gateway.
        """
        access = self._scope.access
        if not isinstance(access, HasGateway):
            reason = "actors in this process are reached without a gateway"
            raise error("actor.invalid_operation", operation="gateway_url", reason=reason)
        return await self._bounded(lambda: access.gateway_url(self._target), None)

    def connect(self, *, params: object = None, timeout: float | None = None) -> ActorConnection[A]:
        """A live connection, to be entered with ``async with``.

        Args:
            params: Connection parameters; the handle's if None. A callable, ``async def`` or not, is called
                for fresh ones before every attempt.
            timeout: Seconds the first connection may take, and every call without a timeout of its own.
        """
        chosen = self._params if params is None else params
        return ActorConnection(self._scope, self._target, chosen, timeout)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {describe(self._target)}>"

    async def _invoke(self, name: str, args: bytes, timeout: float | None) -> bytes:
        async def attempt() -> bytes:
            params = await encode_params(self._params)
            return await self._scope.access.call(self._target, name, args, params=params)

        return await self._bounded(attempt, timeout)

    async def _enqueue(self, name: str, request: QueueSendRequest) -> QueueSendResponse:
        return await deliver(self._scope, self._target, self._params, name, request)

    async def _bounded(self, attempt: Callable[[], Coroutine[Any, Any, T]], timeout: float | None) -> T:
        scope = self._scope
        scope.require_open()
        repeated = repeat_between_lives(attempt, self._target, clock=scope.clock, entropy=scope.entropy)
        return await bounded(scope.clock, scope.seconds(timeout), repeated)

    def _with_params(self, params: object) -> ActorHandle[A]:
        return ActorHandle(self._scope, self._target, params)
