"""Which engine a host uses and as what, read from environment variables (actor-runtime 14.2).

    RIVET_ENDPOINT               the engine; may carry namespace:token@      http://127.0.0.1:6420
    RIVET_RUN_ENGINE_HOST, _PORT what the endpoint is made of when RIVET_ENDPOINT is not set
    RIVET_NAMESPACE, RIVET_TOKEN                                             default; dev for a local engine
    RIVET_POOL, RIVET_POOL_NAME  the pool this process joins                 default
    RIVET_ENVOY_VERSION          deployment version, 0 to 4294967295         1
    RIVETKIT_RUNTIME_MODE        envoy or serverless                         envoy
    RIVET_PORT                   where a serverless host listens             3000
    RIVET_PUBLIC_ENDPOINT, RIVET_PUBLIC_TOKEN  what clients are told         the endpoint, no token
    RIVETKIT_ENGINE_SPAWN        auto, always or never                       auto: if the endpoint is local
    RIVET_RUN_ENGINE             1 means always, 0 means never
    RIVET_ENGINE_BINARY_PATH     the engine's program
    RIVET_RUN_ENGINE_VERSION, RIVETKIT_ENGINE_VERSION   the only version that will do
    RIVETKIT_ENGINE_AUTO_DOWNLOAD  1 installs a missing engine with npm      0
    RIVETKIT_STORAGE_PATH        folder of .rivetkit                         the home directory
    RIVET_EXPOSE_ERRORS          1 sends internal errors to clients          0

An empty variable counts as absent. Knows nothing about processes and sockets.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeVar, get_args
from urllib.parse import urlsplit

from rivetkit_core.config import ConfigError
from rivetkit_core.errors import RivetError
from rivetkit_core.wire.gateway_url import DEFAULT_ENDPOINT, Endpoint, parse_endpoint

T = TypeVar("T")

RuntimeMode = Literal["envoy", "serverless"]
SpawnPolicy = Literal["auto", "always", "never"]

_DEFAULT_PORT = 6420
_LOCAL_TOKEN = "dev"  # noqa: S105 - what every SDK sends to an engine without authentication
_MAX_VERSION = 2**32 - 1
_MAX_PORT = 65_535
_MAX_POOL = 128
_ENDPOINT = ("RIVET_ENDPOINT", "RIVET_RUN_ENGINE_HOST", "RIVET_RUN_ENGINE_PORT")
_FLAGS = {"1": True, "true": True, "0": False, "false": False}


@dataclass(frozen=True, slots=True)
class Named:
    """What the environment names in so many words; None where a default holds.

    A serverless host is told by each request which engine it comes from, and refuses what is named otherwise.
    """

    endpoint: str | None = None
    namespace: str | None = None
    pool: str | None = None
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """Everything a host needs to know before it talks to an engine.

    Attributes:
        endpoint: Base URL of the engine, without credentials.
        version: Deployment version of this process; the engine prefers the highest of a pool.
        public: What clients are told to connect to, with the token they may have.
        engine_version: The only engine version that will do; None takes what is there.
        storage: Folder of the engine's data, logs and installed programs.
    """

    endpoint: str = DEFAULT_ENDPOINT
    namespace: str = "default"
    token: str | None = field(default=None, repr=False)
    pool: str = "default"
    version: int = 1
    mode: RuntimeMode = "envoy"
    port: int = 3000
    public: Endpoint = field(default_factory=lambda: Endpoint(DEFAULT_ENDPOINT, "default"))
    spawn: SpawnPolicy = "auto"
    engine_binary: Path | None = None
    engine_version: str | None = None
    auto_install: bool = False
    storage: Path = field(default_factory=lambda: Path.home() / ".rivetkit")
    expose_errors: bool = False
    named: Named = field(default_factory=Named)

    @property
    def spawns(self) -> bool:
        """Whether the engine is ours to start."""
        return self.spawn == "always" or (self.spawn == "auto" and is_local(self.endpoint))

    @property
    def engine_address(self) -> tuple[str, int]:
        """Host and port of the endpoint."""
        return address_of(self.endpoint)


def read_settings(environ: Mapping[str, str]) -> EngineSettings:
    """Settings from environment variables.

    Raises:
        ConfigError: A variable is not valid; the message names it, its value and what to write instead.
    """
    given = _Variables(environ)
    where = given.endpoint("RIVET_ENDPOINT") or Endpoint(_run_endpoint(given))
    local = is_local(where.base)
    namespace = given.agreed("RIVET_NAMESPACE", where.namespace, "RIVET_ENDPOINT")
    pool = _pool(given)
    token = given.agreed("RIVET_TOKEN", where.token, "RIVET_ENDPOINT", secret=True)
    settings = EngineSettings(
        endpoint=where.base,
        namespace=namespace or "default",
        token=token or (_LOCAL_TOKEN if local else None),
        pool=pool or "default",
        version=given.whole("RIVET_ENVOY_VERSION", 0, _MAX_VERSION, default=1),
        mode=given.choice("RIVETKIT_RUNTIME_MODE", _by_name(get_args(RuntimeMode)), "envoy"),
        port=given.whole("RIVET_PORT", 1, _MAX_PORT, default=3000),
        public=_public(given, Endpoint(where.base, namespace or "default")),
        spawn=_spawn(given),
        engine_binary=_path(given.text("RIVET_ENGINE_BINARY_PATH")),
        engine_version=given.agreeing("RIVET_RUN_ENGINE_VERSION", "RIVETKIT_ENGINE_VERSION"),
        auto_install=given.choice("RIVETKIT_ENGINE_AUTO_DOWNLOAD", _FLAGS, False),
        storage=_storage(given),
        expose_errors=given.choice("RIVET_EXPOSE_ERRORS", _FLAGS, False),
        named=Named(where.base if given.any_of(*_ENDPOINT) else None, namespace, pool, token),
    )
    if settings.spawn == "always" and not local:
        raise ConfigError(
            f"RIVETKIT_ENGINE_SPAWN (or RIVET_RUN_ENGINE) asks for an engine on this machine, and "
            f"RIVET_ENDPOINT is {settings.endpoint!r}: drop one of the two"
        )
    return settings


def is_local(endpoint: str) -> bool:
    """Whether an engine at this endpoint would run on this machine, without encryption."""
    parts = urlsplit(endpoint)
    host = (parts.hostname or "").lower()
    if parts.scheme != "http" or parts.path:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def address_of(endpoint: str) -> tuple[str, int]:
    """Host and port of a base URL."""
    parts = urlsplit(endpoint)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


class _Variables:
    """Environment variables, each read with its kind; an empty one counts as absent."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, name: str) -> str | None:
        return self._environ.get(name) or None

    def any_of(self, *names: str) -> bool:
        return any(self.text(name) is not None for name in names)

    def whole(self, name: str, low: int, high: int, *, default: int) -> int:
        value = self.text(name)
        if value is None:
            return default
        if not (value.isascii() and value.isdigit()) or not low <= int(value[:20]) <= high:
            raise ConfigError(f"{name} is {value!r}; it must be a whole number from {low} to {high}")
        return int(value)

    def choice(self, name: str, choices: Mapping[str, T], default: T) -> T:
        value = self.text(name)
        if value is None:
            return default
        if value.lower() not in choices:
            raise ConfigError(f"{name} is {value!r}; it must be one of {', '.join(choices)}")
        return choices[value.lower()]

    def endpoint(self, name: str) -> Endpoint | None:
        value = self.text(name)
        if value is None:
            return None
        try:
            return parse_endpoint(value)
        except RivetError as failure:
            raise ConfigError(f"{name}: {failure.message}") from failure

    def agreed(self, name: str, other: str | None, source: str, *, secret: bool = False) -> str | None:
        """The variable or ``other``, which may both be given if they say the same."""
        value = self.text(name)
        if value is not None and other is not None and value != other:
            shown = "two values" if secret else f"{value!r} and {other!r}"
            raise ConfigError(f"{name} and {source} disagree ({shown}): give one of them")
        return value or other

    def agreeing(self, first: str, second: str) -> str | None:
        """One of two names for the same thing."""
        return self.agreed(first, self.text(second), second)


def _by_name(names: tuple[T, ...]) -> dict[str, T]:
    return {str(name): name for name in names}


def _run_endpoint(given: _Variables) -> str:
    host = given.text("RIVET_RUN_ENGINE_HOST") or "127.0.0.1"
    port = given.whole("RIVET_RUN_ENGINE_PORT", 1, _MAX_PORT, default=_DEFAULT_PORT)
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    if address_of(url) != (host.lower(), port) or not is_local(url):
        raise ConfigError(
            f"RIVET_RUN_ENGINE_HOST is {host!r}; it must be localhost or an address such as 127.0.0.1 "
            "or 0.0.0.0: for an engine elsewhere set RIVET_ENDPOINT"
        )
    return url


def _pool(given: _Variables) -> str | None:
    pool = given.agreeing("RIVET_POOL", "RIVET_POOL_NAME")
    if pool is not None and len(pool) > _MAX_POOL:
        raise ConfigError(f"RIVET_POOL has {len(pool)} characters; it must have at most {_MAX_POOL}")
    return pool


def _spawn(given: _Variables) -> SpawnPolicy:
    policy: SpawnPolicy | None = given.choice("RIVETKIT_ENGINE_SPAWN", _by_name(get_args(SpawnPolicy)), None)
    run: bool | None = given.choice("RIVET_RUN_ENGINE", _FLAGS, None)
    wish: SpawnPolicy = "auto" if run is None else "always" if run else "never"
    if policy is None:
        return wish
    if "auto" not in (policy, wish) and policy != wish:
        raise ConfigError(
            f"RIVETKIT_ENGINE_SPAWN is {policy!r} and RIVET_RUN_ENGINE says {wish!r}: give one of them"
        )
    return policy


def _public(given: _Variables, default: Endpoint) -> Endpoint:
    url = given.endpoint("RIVET_PUBLIC_ENDPOINT")
    token = given.agreed("RIVET_PUBLIC_TOKEN", url and url.token, "RIVET_PUBLIC_ENDPOINT", secret=True)
    base = url or default
    return replace(base, namespace=base.namespace or default.namespace, token=token)


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text).expanduser()


def _storage(given: _Variables) -> Path:
    return (_path(given.text("RIVETKIT_STORAGE_PATH")) or Path.home()) / ".rivetkit"
