"""CORS as the engine's gateway answers it (client-protocol 1.7): any origin, echoed, with credentials.

The gateway's own protection is its token and the loopback address it binds by default.
"""

from __future__ import annotations

from rivetkit_core.host.web.asgi import Head, Headers


def gateway_preflight(head: Head) -> Headers:
    """Headers of the 204 for OPTIONS below ``/gateway``."""
    origin = head.text("origin")
    headers: Headers = [
        ("access-control-allow-origin", origin or "*"),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-methods", "GET, POST, PUT, DELETE, OPTIONS, PATCH"),
        ("access-control-allow-headers", head.text("access-control-request-headers") or "*"),
        ("access-control-expose-headers", "*"),
        ("access-control-max-age", "86400"),
    ]
    return [*headers, ("vary", "Origin")] if origin else headers


def gateway_headers(head: Head) -> Headers:
    """Headers of every other answer below ``/gateway``, errors and websocket handshakes included."""
    origin = head.text("origin")
    headers: Headers = [
        ("access-control-allow-origin", origin or "*"),
        ("access-control-allow-credentials", "true"),
        ("access-control-expose-headers", "*"),
    ]
    return [*headers, ("vary", "Origin")] if origin else headers


def manager_preflight(head: Head) -> Headers:
    """Headers of the 200 for OPTIONS on the manager API."""
    return [
        *manager_headers(head),
        ("access-control-allow-methods", head.text("access-control-request-method") or "GET"),
        ("access-control-allow-headers", head.text("access-control-request-headers") or "*"),
    ]


def manager_headers(head: Head) -> Headers:
    """Clients send manager calls with credentials, so the origin is echoed and never ``*``."""
    origin = head.text("origin")
    if origin is None:
        return []
    return [
        ("access-control-allow-origin", origin),
        ("access-control-allow-credentials", "true"),
        ("vary", "Origin"),
    ]
