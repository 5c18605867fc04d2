"""Which actors may be asked for: regions and keys, and what is said when there is none."""

from __future__ import annotations

from rivetkit_core.errors import error
from rivetkit_core.host.port import ActorKey, ById, Target
from rivetkit_core.wire import actor_key

REGION = "default"
"""The only region there is."""


def check_region(region: str | None) -> None:
    """Refuse regions that are not here.

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
    """What to tell whoever asked for an actor that is not there."""
    if isinstance(target, ById):
        return f"There is no actor with the id {target.actor_id!r}"
    return f"There is no actor {target.name!r} with the key {list(target.key)}; get_or_create makes one"
