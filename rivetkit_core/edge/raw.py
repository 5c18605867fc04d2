"""Heads of raw requests and websockets, and the ASGI scopes that actors see of them (client-protocol 5).

An HTTP handler sees its path without ``/request``. A websocket's path keeps its ``/websocket``, as a mount
point: frameworks route below it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from rivetkit_core.asgi import RawHeaders, Scope
from rivetkit_core.wire.subprotocols import offered_by_application

HTTP_PREFIX = "/request"
SOCKET_PREFIX = "/websocket"

_ORIGINAL_URL = b"x-rivet-internal-original-request-url"
_ASGI: Mapping[str, str] = {"version": "3.0", "spec_version": "2.4"}


@dataclass(frozen=True, slots=True)
class RawHead:
    """A request before its body. ``path`` and ``query`` are as sent, still encoded."""

    method: str
    path: str
    query: str = ""
    headers: RawHeaders = field(default_factory=RawHeaders)

    @property
    def target(self) -> str:
        """Path and query as one."""
        return f"{self.path}?{self.query}" if self.query else self.path


def is_raw(path: str) -> bool:
    """Whether a request goes to the actor's own code."""
    return path == HTTP_PREFIX or path.startswith(HTTP_PREFIX + "/")


def http_scope(head: RawHead) -> Scope:
    """What ``on_request`` sees of a request."""
    path, query, headers, scheme = head.path[len(HTTP_PREFIX) :] or "/", head.query, head.headers, "http"
    original = next((value for name, value in headers if name == _ORIGINAL_URL), None)
    if original is not None:  # the TypeScript client was given a whole URL, which its users see again
        url = urlsplit(original.decode("latin-1"))
        hidden = {_ORIGINAL_URL, b"host"} if url.netloc else {_ORIGINAL_URL}
        headers = [(name, value) for name, value in headers if name not in hidden]
        if url.netloc:
            scheme = url.scheme
            headers.insert(0, (b"host", url.netloc.encode("latin-1", "replace")))
        path, query = url.path or "/", url.query
    return {
        "type": "http",
        "method": head.method,
        "scheme": scheme,
        "root_path": "",
        **_common(path, query, headers),
    }


def socket_scope(head: RawHead, *, restored: bool = False) -> Scope:
    """What ``on_websocket`` sees of a websocket, perhaps of one that an earlier generation had."""
    path = head.path if head.path != SOCKET_PREFIX else SOCKET_PREFIX + "/"
    offered = [value.decode("latin-1") for name, value in head.headers if name == b"sec-websocket-protocol"]
    return {
        "type": "websocket",
        "scheme": "ws",
        "root_path": SOCKET_PREFIX if path.startswith(SOCKET_PREFIX + "/") else "",
        "subprotocols": offered_by_application(offered),
        **_common(path, head.query, head.headers),
        "state": {"restored": restored},
    }


def _common(path: str, query: str, headers: RawHeaders) -> Scope:
    return {
        "asgi": dict(_ASGI),
        "http_version": "1.1",
        "path": unquote(path),
        "raw_path": path.encode("latin-1", "replace"),
        "query_string": query.encode("latin-1", "replace"),
        "headers": headers,
        "client": None,
        "server": None,
        "extensions": {},
        "state": {},
    }
