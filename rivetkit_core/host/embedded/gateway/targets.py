"""Which actor a request means: by path, or by header or subprotocol (client-protocol 1.4, 1.5)."""

from __future__ import annotations

from functools import lru_cache

from rivetkit_core.errors import error
from rivetkit_core.host.port import ById, ByKey, Target
from rivetkit_core.host.web.asgi import Head
from rivetkit_core.wire.gateway_url import DirectTarget, QueryTarget, parse_gateway_path

_OUR_PATHS = frozenset({"actors", "gateway", "health", "metadata"})
_REMEMBERED_LENGTH = 512
_FLAGS = frozenset({"true", "1", "false", "0"})


def is_gateway_path(path: str) -> bool:
    """Whether path routing applies: the first segment is ``gateway`` and nothing is ``//``."""
    return (path == "/gateway" or path.startswith("/gateway/")) and "//" not in path


@lru_cache(maxsize=1024)
def _parse_cached(path: str, query: str) -> DirectTarget | QueryTarget | None:
    return parse_gateway_path(path, query)


def parse_target(path: str, query: str) -> DirectTarget | QueryTarget | None:
    """``parse_gateway_path``, remembered: a client repeats few URLs many times.

    Long ones, which carry inputs, are not kept.
    """
    if len(path) + len(query) > _REMEMBERED_LENGTH:
        return parse_gateway_path(path, query)
    return _parse_cached(path, query)


def is_ours(head: Head) -> bool:
    """Whether a request is for actors or the manager API, rather than for an application beside them."""
    first = head.path.split("/", 2)[1] if head.path.startswith("/") else ""
    return (
        first in _OUR_PATHS
        or head.text("x-rivet-target") is not None
        or any(protocol.startswith("rivet_target.") for protocol in head.subprotocols)
    )


def to_target(parsed: DirectTarget | QueryTarget, namespace: str) -> Target:
    """The core's target.

    Raises:
        RivetError: ``namespace.not_found``.
    """
    if isinstance(parsed, DirectTarget):
        return ById(parsed.actor_id)
    if parsed.namespace != namespace:
        raise error("namespace.not_found", f"This server has no namespace {parsed.namespace!r}")
    return ByKey(parsed.name, parsed.key, create=parsed.create, input=parsed.input, region=parsed.region)


def header_target(head: Head) -> DirectTarget:
    """The target of a request without a gateway path; only raw requests may come this way.

    Raises:
        RivetError: The request names no actor, or a path that cannot be reached this way.
    """
    if head.text("x-rivet-target") != "actor":
        raise error("api.not_found")
    if head.path != "/request" and not head.path.startswith("/request/"):
        raise error("guard.no_route")
    actor_id = head.text("x-rivet-actor")
    if actor_id is None:
        raise error("guard.missing_header", header="x-rivet-actor")
    if (head.text("x-rivet-skip-ready-wait") or "false") not in _FLAGS:
        raise error("guard.invalid_header", header="x-rivet-skip-ready-wait")
    return DirectTarget(actor_id=actor_id, token=None, path=head.path, query=head.query)
