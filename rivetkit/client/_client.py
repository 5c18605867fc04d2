"""The entry point: a client knows where actors are and makes handles to them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self, overload

from typing_extensions import TypeVar

from rivetkit._contract import Contract
from rivetkit._references import Input
from rivetkit._validation import dump_anything
from rivetkit.client._handle import ActorHandle
from rivetkit.client._settings import DEFAULT_TIMEOUT, Settings
from rivetkit.client._transport_http import HttpAccess, HttpOptions
from rivetkit_core.clock import Clock, SystemClock
from rivetkit_core.entropy import Entropy, SystemEntropy
from rivetkit_core.errors import error
from rivetkit_core.host.port import ActorAccess, ActorKey, ById, ByKey
from rivetkit_core.wire.gateway_url import parse_endpoint
from rivetkit_core.wire.messages import Encoding

A = TypeVar("A", bound=Contract)

Key = str | Sequence[str]
"""One part, or an ordered list of parts."""

_DEFAULT_ENDPOINT = "http://127.0.0.1:6420"


class Client:
    """Reaches actors over the network, or in this process when made by a registry.

    Handles are cheap and make no calls by themselves. Close the client when done: ``async with``, or
    ``aclose()``.

    Args:
        endpoint: URL of a gateway, perhaps with ``namespace:token@``. Default: ``RIVET_ENGINE``, else
            ``RIVET_ENDPOINT``, else ``http://127.0.0.1:6420``.
        namespace: Default: ``RIVET_NAMESPACE``, else the URL's, else ``default``.
        token: Default: ``RIVET_TOKEN``, else the URL's, else none.
        pool: Where new actors are placed. Default: ``RIVET_POOL``, else ``default``.
        encoding: ``bare`` (compact, exact), ``cbor`` or ``json``.
        timeout: Seconds a call waits for its answer unless it says otherwise.
        headers: Sent with every request and websocket handshake.
        transport: Another way to the actors than HTTP; endpoint, namespace, token, pool, encoding and headers
            are then not used.

    Raises:
        RivetError: ``validation.invalid_input`` for an endpoint that is not one.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        namespace: str | None = None,
        token: str | None = None,
        pool: str | None = None,
        encoding: Encoding | str = Encoding.BARE,
        timeout: float = DEFAULT_TIMEOUT,
        headers: Mapping[str, str] | None = None,
        transport: ActorAccess | None = None,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
    ) -> None:
        self._settings = Settings(clock or SystemClock(), entropy or SystemEntropy(), timeout)
        if transport is not None:
            self._access = transport
            return
        options = _options(endpoint, namespace, token, pool, encoding, headers)
        self._access = HttpAccess(options, clock=self._settings.clock, entropy=self._settings.entropy)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the client's sockets. Live connections close with their own blocks. Idempotent."""
        await self._access.aclose()

    def get(self, cls: type[A], key: Key = (), /, *, params: object = None) -> ActorHandle[A]:
        """A handle to an existing actor; calls raise ``ActorNotFound`` if there is none.

        ``params`` are the connection parameters of every call and of ``connect()``.
        """
        target = ByKey(wire_name(cls), to_key(key))
        return ActorHandle(self._access, target, self._settings, params)

    def get_or_create(
        self,
        cls: type[A],
        key: Key = (),
        /,
        *,
        input: Input[A] | None = None,
        region: str | None = None,
        params: object = None,
    ) -> ActorHandle[A]:
        """A handle to the actor with this key, made on the first call if it is missing.

        Args:
            input: What the state is made from, ``ChatRoom.initial(title="General")``; used on creation only.
            region: Where to create it.
            params: Connection parameters of every call and of ``connect()``.
        """
        encoded = None if input is None else input.encode()
        target = ByKey(wire_name(cls), to_key(key), create=True, input=encoded, region=region)
        return ActorHandle(self._access, target, self._settings, params)

    async def create(
        self,
        cls: type[A],
        key: Key = (),
        /,
        *,
        input: Input[A] | None = None,
        region: str | None = None,
        params: object = None,
    ) -> ActorHandle[A]:
        """Make a new actor and return a handle to it by id.

        Raises:
            RivetError: ``actor.duplicate_key`` if the key is in use; what its startup raised.
        """
        encoded = None if input is None else input.encode()
        actor_id = await self._access.create(wire_name(cls), to_key(key), input=encoded, region=region)
        return ActorHandle(self._access, ById(actor_id), self._settings, params)

    def get_for_id(self, cls: type[A], actor_id: str, /, *, params: object = None) -> ActorHandle[A]:
        """A handle to one actor by its id; once it is destroyed, calls raise ``ActorNotFound``."""
        return ActorHandle(self._access, ById(actor_id), self._settings, params)

    @overload
    def get_by_name(
        self, name: str, key: Key = (), /, *, create: bool = True, input: object = None, params: object = None
    ) -> ActorHandle[Contract]: ...
    @overload
    def get_by_name(
        self,
        name: str,
        key: Key,
        contract: type[A],
        /,
        *,
        create: bool = True,
        input: object = None,
        params: object = None,
    ) -> ActorHandle[A]: ...
    def get_by_name(
        self,
        name: str,
        key: Key = (),
        contract: type[Contract] = Contract,
        /,
        *,
        create: bool = True,
        input: object = None,
        params: object = None,
    ) -> ActorHandle[Any]:
        """A handle to an actor known by its wire name, for instance one written in another language.

        Call it with ``call_by_name``, or through references of a ``contract``. ``input`` is plain data.
        """
        encoded = None if input is None else dump_anything(input, "input")
        target = ByKey(name, to_key(key), create=create, input=encoded)
        return ActorHandle(self._access, target, self._settings, params)


def wire_name(cls: type[Contract]) -> str:
    """The name a class is registered under: ``@actor(name=...)``, else its own in lower camel case."""
    declared: object = getattr(cls, "__rivet_name__", None)
    if isinstance(declared, str):
        return declared
    name = cls.__name__.removesuffix("Contract") or cls.__name__
    return name[:1].lower() + name[1:]


def to_key(key: Key) -> ActorKey:
    """A key as the wire knows it: a list of strings.

    Raises:
        TypeError: A part is not a string.
    """
    parts = (key,) if isinstance(key, str) else tuple(key)
    for part in parts:
        if not isinstance(part, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers may be untyped
            raise TypeError(f"actor keys are made of strings; {part!r} is a {type(part).__name__}")
    return parts


def _options(
    endpoint: str | None,
    namespace: str | None,
    token: str | None,
    pool: str | None,
    encoding: Encoding | str,
    headers: Mapping[str, str] | None,
) -> HttpOptions:
    env = os.environ
    url = endpoint or env.get("RIVET_ENGINE") or env.get("RIVET_ENDPOINT") or _DEFAULT_ENDPOINT
    parsed = parse_endpoint(url)
    if (namespace and parsed.namespace) or (token and parsed.token):
        raise error(
            "validation.invalid_input", reason="namespace and token stand in the URL or in options, not both"
        )
    try:
        chosen = Encoding(encoding)
    except ValueError:
        raise error(
            "validation.invalid_input", reason=f"encoding is {encoding!r}; it must be bare, cbor or json"
        ) from None
    return HttpOptions(
        endpoint=parsed,
        namespace=namespace or parsed.namespace or env.get("RIVET_NAMESPACE") or "default",
        token=token or parsed.token or env.get("RIVET_TOKEN") or None,
        pool=pool or env.get("RIVET_POOL") or "default",
        encoding=chosen,
        headers=headers or {},
    )
