"""Errors as they go on the wire. They arrive here masked; this only gives them their shape."""

from __future__ import annotations

import json

from rivetkit_core.errors import ActorSpecifier, RivetError
from rivetkit_core.wire import cbor
from rivetkit_core.wire.messages import ErrorMessage, HttpError


def metadata_bytes(failure: RivetError) -> bytes | None:
    """The metadata as CBOR. What the format cannot carry travels as its text: an error must not get lost."""
    return None if failure.metadata is None else cbor.encode(failure.metadata, default=str)


def http_error(failure: RivetError) -> HttpError:
    """Body of an HTTP answer (client-protocol 6.1)."""
    return HttpError(failure.group, failure.code, failure.message, metadata_bytes(failure), failure.actor)


def action_error(failure: RivetError, action_id: int, actor: ActorSpecifier | None) -> ErrorMessage:
    """Answer to one action on a connection."""
    return ErrorMessage(
        failure.group, failure.code, failure.message, metadata_bytes(failure), action_id, actor
    )


def connection_error(failure: RivetError) -> ErrorMessage:
    """Refusal of a whole connection; carries no actor (client-protocol 4.2)."""
    return ErrorMessage(failure.group, failure.code, failure.message, metadata_bytes(failure))


def error_json(failure: RivetError) -> bytes:
    """An error from the way to an actor: JSON whatever the caller's encoding."""
    fields: dict[str, object] = {
        "group": failure.group,
        "code": failure.code,
        "message": failure.message,
    }
    if failure.metadata is not None:
        fields["metadata"] = failure.metadata
    if failure.actor is not None:
        fields["actor"] = {
            "actorId": failure.actor.actor_id,
            "generation": failure.actor.generation,
            "key": failure.actor.key,
        }
    return json.dumps(fields, default=str).encode()
