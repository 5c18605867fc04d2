"""The optional token: without one configured, everybody who can reach the port may call."""

from __future__ import annotations

import hmac

from rivetkit_core.errors import error
from rivetkit_core.host.web.asgi import Head


class TokenGuard:
    """Compares tokens in constant time and never repeats them in an answer or a log."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def check(self, *offered: str | None) -> None:
        """Accept if any of the tokens is right, wherever the client put it.

        Raises:
            RivetError: ``api.unauthorized``.
        """
        if self._token is None:
            return
        expected = self._token.encode()
        # No early exit: the time taken says nothing about which one was close.
        matches = [hmac.compare_digest(token.encode(), expected) for token in offered if token is not None]
        if not any(matches):
            raise error("api.unauthorized")


def header_tokens(head: Head) -> tuple[str | None, str | None]:
    """Tokens of the ``Authorization: Bearer`` and ``x-rivet-token`` headers."""
    authorization = head.text("authorization") or ""
    scheme, _, credentials = authorization.partition(" ")
    bearer = credentials.strip() if scheme.lower() == "bearer" else None
    return _as_utf_8(bearer), _as_utf_8(head.text("x-rivet-token"))


def _as_utf_8(token: str | None) -> str | None:
    """Headers arrive as Latin-1; clients write tokens as UTF-8."""
    return None if token is None else token.encode("latin-1").decode("utf-8", "replace")
