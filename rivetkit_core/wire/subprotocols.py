"""The WebSocket handshake's subprotocols, and the reasons of close frames (client-protocol 4.1, 4.4).

Clients pass options as subprotocol tokens, because browsers cannot set headers on a WebSocket. Only
``rivet`` is ever selected.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

from rivetkit_core.errors import ProtocolError

MARKER = "rivet"
MAX_CLOSE_REASON = 123
"""Bytes of UTF-8 that fit into a close frame."""

_ENCODING = "rivet_encoding."
_PARAMS = "rivet_conn_params."
_TARGET = "rivet_target."
_ACTOR = "rivet_actor."
_TOKEN = "rivet_token."  # noqa: S105  # a name, not a secret
_SKIP_READY_WAIT = "rivet_skip_ready_wait"
_OURS = "rivet_"


@dataclass(frozen=True, slots=True)
class ConnectOptions:
    """What a client asked for. ``encoding`` is as sent, known or not; ``params_json`` is not parsed."""

    offers_rivet: bool = False
    encoding: str | None = None
    params_json: str | None = None
    target: str | None = None
    actor_id: str | None = None
    token: str | None = None
    skip_ready_wait: bool = False


def parse(header_values: Iterable[str]) -> ConnectOptions:
    """Read the ``Sec-WebSocket-Protocol`` headers; order is irrelevant, the first of a kind wins.

    Raises:
        ProtocolError: The connection parameters are not UTF-8.
    """
    tokens = [token.strip() for value in header_values for token in value.split(",")]
    params = _first(tokens, _PARAMS)
    return ConnectOptions(
        offers_rivet=MARKER in tokens,
        encoding=_first(tokens, _ENCODING),
        params_json=None if params is None else _form_decode(params),
        target=_first(tokens, _TARGET),
        actor_id=_first(tokens, _ACTOR),
        token=_first(tokens, _TOKEN),
        skip_ready_wait=_SKIP_READY_WAIT in tokens,
    )


def build(
    encoding: str | None,
    params_json: str | None = None,
    *,
    actor_id: str | None = None,
    token: str | None = None,
    skip_ready_wait: bool = False,
    application: Iterable[str] = (),
) -> list[str]:
    """The tokens to offer, in the TypeScript client's order.

    Args:
        encoding: json, cbor or bare.
        params_json: Connection parameters as JSON text.
        actor_id: Route by subprotocol instead of by path; ``token`` goes with it.
        token: Sent as it is, so it must consist of HTTP token characters.
        skip_ready_wait: Connect although the actor is not ready.
        application: Protocols of a raw websocket, for the actor's own code.
    """
    tokens = [MARKER]
    if encoding is not None:
        tokens.append(_ENCODING + encoding)
    if actor_id is not None:
        tokens += [_TARGET + "actor", _ACTOR + actor_id]
    if token is not None:
        tokens.append(_TOKEN + token)
    if skip_ready_wait:
        tokens.append(_SKIP_READY_WAIT)
    if params_json is not None:
        tokens.append(_PARAMS + _percent_encode(params_json))
    return [*tokens, *application]


def offered_by_application(header_values: Iterable[str]) -> list[str]:
    """The tokens that are not ours, in their order."""
    tokens = [token.strip() for value in header_values for token in value.split(",")]
    return [token for token in tokens if token and token != MARKER and not token.startswith(_OURS)]


def close_reason(group: str, code: str, ray: str | None = None) -> str:
    """``group.code`` or ``group.code#ray``, cut to what fits a close frame."""
    reason = f"{group}.{code}" if ray is None else f"{group}.{code}#{ray}"
    return fitting(reason)


def fitting(reason: str) -> str:
    """The reason, cut to what fits a close frame."""
    return reason.encode(errors="replace")[:MAX_CLOSE_REASON].decode(errors="ignore")


def parse_close_reason(text: str) -> tuple[str, str, str | None] | None:
    """Group, code and ray id of a structured reason; None for free text."""
    identity, mark, ray = text.partition("#")
    group, _, rest = identity.partition(".")
    code = rest.partition(".")[0]
    return (group, code, ray if mark else None) if group and code else None


def _first(tokens: list[str], prefix: str) -> str | None:
    return next((token.removeprefix(prefix) for token in tokens if token.startswith(prefix)), None)


def _percent_encode(text: str) -> str:
    try:
        return quote(text, safe="")
    except UnicodeEncodeError as failure:
        raise ProtocolError("parameters with a lone surrogate") from failure


def _form_decode(text: str) -> str:
    try:
        return unquote_to_bytes(text.replace("+", " ")).decode()
    except (UnicodeDecodeError, UnicodeEncodeError) as failure:
        raise ProtocolError("connection parameters that are not UTF-8") from failure
