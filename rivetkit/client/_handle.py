"""Stateless handles: every call finds the actor anew."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, runtime_checkable

from typing_extensions import TypeVar

from rivetkit._contract import Contract
from rivetkit._references import ActionRef
from rivetkit._validation import dump_anything, load_anything
from rivetkit.client._retry import backoff, may_call_again
from rivetkit.client._settings import Settings
from rivetkit_core.clock import within
from rivetkit_core.errors import RivetError, error
from rivetkit_core.host.port import ActorAccess, Target

if TYPE_CHECKING:
    from rivetkit.client._connection import ActorConnection

P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A", bound=Contract)

_RETRIES = 6
_FIRST_RETRY = 0.05
_LONGEST_RETRY = 1.0


@runtime_checkable
class _HasGatewayUrl(Protocol):
    async def gateway_url(self, target: Target, path: str = "") -> str: ...


def encode_params(params: object) -> bytes | None:
    """Connection parameters as CBOR; None for none."""
    return None if params is None else dump_anything(params, "connection params")


def timed_out(timeout: float) -> RivetError:
    """Nothing was heard for ``timeout`` seconds."""
    return error("client.timed_out", timeout=timeout)


class CallsActor(Generic[A]):
    """The calls that handles and connections share."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def call(self, ref: ActionRef[A, P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run an action and return its result.

        Cancelling stops the waiting, not the action.

        Raises:
            ValidationError: An argument does not fit (nothing was sent), or the result does not.
            RivetError: What the actor answered; ``client.timed_out`` or a ``client.*`` error otherwise.
        """
        return await self._call(ref, None, args, kwargs)

    def action(
        self, ref: ActionRef[A, P, R], /, *, timeout: float | None = None
    ) -> Callable[P, Coroutine[Any, Any, R]]:
        """Bind call options first, then call with the action's own arguments.

        Args:
            timeout: Seconds to wait for the answer; None is the client's default.
        """

        async def bound(*args: P.args, **kwargs: P.kwargs) -> R:
            return await self._call(ref, timeout, args, kwargs)

        return bound

    async def call_by_name(self, name: str, /, *args: object, timeout: float | None = None) -> object:
        """Run an action known only by name; the result is plain data. The door to actors without types."""
        payload = dump_anything(list(args), f"action `{name}` arguments")
        output = await self._bounded(name, payload, timeout)
        return load_anything(output, f"action `{name}` output")

    async def _call(
        self,
        ref: ActionRef[Any, ..., R],
        timeout: float | None,
        args: tuple[object, ...],
        kwargs: dict[str, object],
    ) -> R:
        payload = ref.encode_args(*args, **kwargs)
        return ref.decode_output(await self._bounded(ref.name, payload, timeout))

    async def _bounded(self, name: str, args: bytes, timeout: float | None) -> bytes:
        budget = self._settings.timeout if timeout is None else timeout
        return await within(self._settings.clock, budget, self._run(name, args), lambda: timed_out(budget))

    async def _run(self, name: str, args: bytes) -> bytes:
        raise TypeError(f"{type(self).__name__} cannot call actions")


class ActorHandle(CallsActor[A]):
    """Names an actor. Costs nothing to make; calls are independent of each other."""

    def __init__(
        self, access: ActorAccess, target: Target, settings: Settings, params: object = None
    ) -> None:
        super().__init__(settings)
        self._access = access
        self._target = target
        self._params = params

    async def resolve(self) -> str:
        """The actor's id; a get-or-create handle creates the actor.

        Raises:
            ActorNotFound: There is no such actor.
        """
        return await self._access.resolve(self._target)

    async def gateway_url(self) -> str:
        """URL of the actor's gateway, to which ``/action/...`` and the like are appended.

        Raises:
            RivetError: ``actor.invalid_operation`` on a client that uses no network.
        """
        if not isinstance(self._access, _HasGatewayUrl):
            raise error(
                "actor.invalid_operation", operation="gateway_url", reason="this client uses no network"
            )
        return await self._access.gateway_url(self._target)

    def connect(self, *, params: object = None) -> ActorConnection[A]:
        """A live connection, opened by ``async with`` and closed at the block's end.

        Args:
            params: Connection parameters, or a function (plain or async) that makes them for each attempt.
                Default: the handle's own.
        """
        from rivetkit.client._connection import ActorConnection

        chosen = self._params if params is None else params
        return ActorConnection(self._access, self._target, self._settings, chosen)

    async def _run(self, name: str, args: bytes) -> bytes:
        params = encode_params(self._params)
        for attempt in range(_RETRIES):
            try:
                return await self._access.call(self._target, name, args, params=params)
            except RivetError as failure:
                if not may_call_again(failure):
                    raise
            entropy = self._settings.entropy
            delay = backoff(attempt, entropy, first=_FIRST_RETRY, longest=_LONGEST_RETRY)
            await self._settings.clock.sleep(delay)
        return await self._access.call(self._target, name, args, params=params)
