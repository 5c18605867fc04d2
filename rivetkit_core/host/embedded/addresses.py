"""What may be asked of the embedded host: keys, regions, and the words for what is not there."""

from __future__ import annotations

from rivetkit_core.errors import error
from rivetkit_core.host.port import ActorKey, ById, Target
from rivetkit_core.wire import actor_key

REGION = "default"
"""The only region there is."""


def check_region(region: str | None) -> None:
    """Refuse any region but ours.

    Raises:
        RivetError: ``datacenter.not_found``.
    """
    if region not in (None, "", REGION):
        raise error("datacenter.not_found")


def check_key(key: ActorKey) -> None:
    """Refuse keys that cannot be stored.

    Raises:
        RivetError: ``actor.key_too_large``, or ``api.bad_request`` for text that is not Unicode.
    """
    try:
        size = len(actor_key.serialize(key).encode())
    except UnicodeEncodeError:
        raise error("api.bad_request", reason="the key holds a lone surrogate") from None
    if size > actor_key.MAX_SERIALIZED:
        raise error("actor.key_too_large", size=size, limit=actor_key.MAX_SERIALIZED)


def missing(target: Target) -> str:
    """Says that there is no such actor."""
    if isinstance(target, ById):
        return f"There is no actor with the id {target.actor_id!r}"
    return f"There is no actor {target.name!r} with the key {list(target.key)}; get_or_create makes one"
