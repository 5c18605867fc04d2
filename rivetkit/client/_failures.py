"""What peers report, as exceptions: error messages, error bodies, close reasons."""

from __future__ import annotations

import re
from contextlib import suppress

from rivetkit_core.errors import ConnectionLost, ProtocolError, RivetError, rebuild, spec_of
from rivetkit_core.host.port import LinkClosed
from rivetkit_core.wire import cbor
from rivetkit_core.wire.messages import ErrorMessage, HttpError
from rivetkit_core.wire.subprotocols import parse_close_reason

_WORD = re.compile(r"[A-Za-z0-9_-]+")
_LOST = "The connection was lost before the answer arrived"


def failure_of(answer: ErrorMessage | HttpError) -> RivetError:
    """The error a peer sent. Metadata that cannot be read is left out."""
    metadata: object = None
    if answer.metadata is not None:
        with suppress(ProtocolError):
            metadata = cbor.decode(answer.metadata)
    return rebuild(answer.group, answer.code, answer.message, metadata, answer.actor)


def closed_failure(closed: LinkClosed) -> RivetError:
    """Why a link ended: the close reason if it names an error, else ``client.connection_lost``."""
    parsed = parse_close_reason(closed.reason)
    if parsed is not None and _WORD.fullmatch(parsed[0]) and _WORD.fullmatch(parsed[1]):
        spec = spec_of(parsed[0], parsed[1])
        told = spec is not None and "{" not in spec.message
        return rebuild(parsed[0], parsed[1], None if told else f"The connection was closed: {closed.reason}")
    text = f"{closed.code} {closed.reason}".rstrip()
    return ConnectionLost("client", "connection_lost", f"The connection was closed ({text})")


def lost_call(failure: RivetError) -> RivetError:
    """What a call in flight fails with when its link ends because of ``failure``."""
    lost = ConnectionLost("client", "connection_lost", f"{_LOST} ({failure})")
    lost.__cause__ = failure
    return lost
