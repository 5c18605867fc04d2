"""Closing many connections at once (actor-runtime 9.3): all are tried, failures are told together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from rivetkit_core.actor.connections import Connection
from rivetkit_core.errors import RivetError, error


async def disconnect_all(conns: Sequence[Connection], reason: str | None) -> int:
    """Close every connection as ``Connection.disconnect`` does; how many there were.

    Raises:
        RivetError: ``connection.disconnect_failed`` with ``count`` and ``details``, after all were tried.
    """
    outcomes = await asyncio.gather(*(conn.disconnect(reason) for conn in conns), return_exceptions=True)
    details: list[object] = []
    for conn, outcome in zip(conns, outcomes, strict=True):
        if isinstance(outcome, Exception):
            details.append({"conn_id": conn.id, **_identity(outcome)})
        elif outcome is not None:
            raise outcome
    if details:
        raise error("connection.disconnect_failed", count=len(details), details=details)
    return len(conns)


def _identity(failure: Exception) -> dict[str, object]:
    if isinstance(failure, RivetError):
        return {"group": failure.group, "code": failure.code, "message": failure.message}
    return {"group": "rivetkit", "code": "internal_error", "message": str(failure)}
