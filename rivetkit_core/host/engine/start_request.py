"""What a request to start an actor must be: from whom it may come, and what it says (envoy-protocol 8).

Whoever can send one has actors run, and has this process connect to the engine it names. So it is held to
what the environment names, and where that names no engine, only one of this machine may be named here.
Pure functions over a request's head and body.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from rivetkit_core.errors import RivetError, error
from rivetkit_core.host.engine.settings import EngineSettings, Named, address_of, is_local
from rivetkit_core.host.web.asgi import Head
from rivetkit_core.wire.envoy.codec import decode_start_payload
from rivetkit_core.wire.envoy.messages import CommandEntry, StartActor
from rivetkit_core.wire.gateway_url import parse_endpoint

ENDPOINT_HEADER = "x-rivet-endpoint"
NAMESPACE_HEADER = "x-rivet-namespace-name"
POOL_HEADER = "x-rivet-pool-name"
TOKEN_HEADER = "x-rivet-token"  # noqa: S105 - the name of a header

_LONGEST_NAME = 128
_LOCAL_HOST = "localhost"


@dataclass(frozen=True, slots=True)
class EngineTarget:
    """An engine that calls this process, and what as. Each one is an envoy of its own."""

    endpoint: str
    namespace: str
    pool: str
    token: str | None = field(default=None, repr=False)


def read_target(head: Head, settings: EngineSettings) -> EngineTarget:
    """Who asks.

    Raises:
        RivetError: ``auth.forbidden``; ``request.invalid`` for a header that is missing or no good;
            ``config.*_mismatch`` for one that is not what the environment names.
    """
    named = settings.named
    _check_token(head.text(TOKEN_HEADER), named.token)
    endpoint = _endpoint(_required(head, ENDPOINT_HEADER), named)
    namespace = _name(head, NAMESPACE_HEADER)
    pool = _name(head, POOL_HEADER)
    if named.namespace not in (None, namespace):
        raise error("config.namespace_mismatch", expected=named.namespace, received=namespace)
    if named.pool not in (None, pool):
        raise error("config.pool_mismatch", expected=named.pool, received=pool)
    token = named.token or head.text(TOKEN_HEADER) or settings.token
    return EngineTarget(endpoint, namespace, pool, token)


def read_start(body: bytes) -> CommandEntry:
    """What is asked: exactly one start.

    Raises:
        RivetError: ``protocol.malformed``, ``request.invalid``.
    """
    entries = decode_start_payload(body).entries
    if len(entries) != 1 or not isinstance(entries[0].command, StartActor):
        raise error("request.invalid", reason="the body must hold exactly one command, and that a start")
    return entries[0]


def _check_token(given: str | None, expected: str | None) -> None:
    if expected is None:
        return
    if not hmac.compare_digest((given or "").encode(), expected.encode()):
        raise error("auth.forbidden")


def _endpoint(received: str, named: Named) -> str:
    try:
        endpoint = parse_endpoint(received).base
        place = _place(endpoint)
    except (RivetError, ValueError):
        raise error("request.invalid", reason=f"{ENDPOINT_HEADER} is not an URL") from None
    if named.endpoint is None:
        if not is_local(endpoint):
            expected = "on this machine, unless RIVET_ENDPOINT names another"
            raise error("config.endpoint_mismatch", expected=expected, received=endpoint)
        return endpoint
    if place != _place(named.endpoint):
        raise error("config.endpoint_mismatch", expected=named.endpoint, received=endpoint)
    return named.endpoint


def _place(endpoint: str) -> tuple[str, str, int, str]:
    """What must be equal for two URLs to mean one engine; the names of this machine are one name."""
    parts = urlsplit(endpoint)
    host, port = address_of(endpoint)
    if is_local(f"http://[{host}]" if ":" in host else f"http://{host}"):
        host = _LOCAL_HOST
    return parts.scheme, host.lower(), port, parts.path.rstrip("/")


def _name(head: Head, header: str) -> str:
    name = _required(head, header)
    if len(name) > _LONGEST_NAME:
        raise error("request.invalid", reason=f"{header} has more than {_LONGEST_NAME} characters")
    return name


def _required(head: Head, header: str) -> str:
    value = head.text(header)
    if not value:
        raise error("request.invalid", reason=f"the header {header} is missing")
    return value
