"""Errors of rivetkit, with one identity on the wire.

    RivetError                      group.code, message, metadata, the actor that raised it
    ├── UserError                   user.*       raised by actor code; always reaches the client
    ├── ValidationError             actor.validation_error, with ``issues``
    ├── ActorNotFound               actor.not_found
    ├── ActionTimedOut              actor.action_timed_out
    ├── Overloaded                  actor.overloaded: safe to retry
    ├── Forbidden                   auth.forbidden
    ├── ConnectionLost              client.connection_lost: the outcome is unknown
    ├── StorageError                storage.*
    └── ProtocolError               protocol.*: a peer or a file broke the format

``group`` and ``code`` are the same in every RivetKit SDK and never change; ``str(error)`` is for people
and may. What exists is listed in ``catalogue.toml``, from which status, visibility and the documentation
are generated. Which part of an error a client may see is decided here, in ``masked``, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, cast

from rivetkit_core._catalogue import CATALOGUE, ErrorSpec

INTERNAL_MESSAGE = "An internal error occurred"

# Groups whose codes belong to others (actor authors, other subsystems) but whose visibility is fixed.
_PUBLIC_GROUPS = frozenset({"user", "queue", "kv", "schedule", "actor_runtime_socket", "guard", "api"})
_BAD_REQUEST_GROUPS = frozenset({"queue"})


@dataclass(frozen=True, slots=True)
class ActorSpecifier:
    """Which life of which actor an error came from. ``key`` is serialized; ``""`` for the empty key."""

    actor_id: str
    generation: int
    key: str


@dataclass(frozen=True, slots=True)
class Issue:
    """One field that failed validation: where, why, and pydantic's error type."""

    path: tuple[str | int, ...]
    message: str
    type: str


class RivetError(Exception):
    """Base of every error this library raises, and what a remote error is turned into.

    Attributes:
        group: Subsystem, for instance ``actor`` or ``user``.
        code: What went wrong within the group.
        message: Text for people.
        metadata: Plain data (None, bool, int, float, str, bytes, list, dict) that travels with it.
        actor: The actor that produced the error, when one was reached.
    """

    identity: ClassVar[tuple[str, str] | None] = None

    def __init__(
        self,
        group: str,
        code: str,
        message: str | None = None,
        *,
        metadata: object = None,
        actor: ActorSpecifier | None = None,
    ) -> None:
        self.group = group
        self.code = code
        self.message = message if message is not None else _default_message(group, code, metadata)
        self.metadata = metadata
        self.actor = actor
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.group}.{self.code}: {self.message}"

    def __reduce__(self) -> tuple[object, ...]:
        # Exception would replay __init__ with the message alone.
        return (rebuild, (self.group, self.code, self.message, self.metadata, self.actor))

    @property
    def issues(self) -> tuple[Issue, ...]:
        """Fields that failed validation; empty unless the metadata lists any."""
        return tuple(_issues(self.metadata))


class UserError(RivetError):
    """Raise it in an actor to tell the caller something; everything you pass reaches the client.

    Args:
        message: Text for people.
        code: Stable identifier for programs; the error is ``user.<code>`` in every SDK.
        metadata: Data for the client. Plain values, pydantic models and dataclasses work.
    """

    def __init__(
        self,
        message: str,
        code: str = "user_error",
        metadata: object = None,
        *,
        actor: ActorSpecifier | None = None,
    ) -> None:
        super().__init__("user", code, message, metadata=metadata, actor=actor)


class ValidationError(RivetError):
    """A value did not fit its declared type; ``issues`` names each field."""

    identity = ("actor", "validation_error")


class ActorNotFound(RivetError):
    """No such actor: never created, or destroyed."""

    identity = ("actor", "not_found")


class ActionTimedOut(RivetError):
    """The action exceeded its budget; whether its effects happened is unknown."""

    identity = ("actor", "action_timed_out")


class Overloaded(RivetError):
    """A bounded inbox was full; nothing ran, so retrying with back-off is safe."""

    identity = ("actor", "overloaded")


class Forbidden(RivetError):
    """An access hook said no."""

    identity = ("auth", "forbidden")


class ConnectionLost(RivetError):
    """The link broke while a call was in flight; whether the action ran is unknown."""

    identity = ("client", "connection_lost")


class StorageError(RivetError):
    """Storage refused: locked, damaged, newer than this release, full or unwritable."""


class ProtocolError(RivetError):
    """A peer, or a stored record, broke the format. The only error the codecs in ``wire`` raise."""

    def __init__(self, reason: str, *, code: str = "malformed", label: str = "data") -> None:
        super().__init__("protocol", code, metadata={"label": label, "reason": reason})
        self.reason = reason


_BY_IDENTITY: dict[tuple[str, str], type[RivetError]] = {
    kind.identity: kind
    for kind in (ValidationError, ActorNotFound, ActionTimedOut, Overloaded, Forbidden, ConnectionLost)
    if kind.identity is not None
}


def rebuild(
    group: str,
    code: str,
    message: str | None = None,
    metadata: object = None,
    actor: ActorSpecifier | None = None,
) -> RivetError:
    """Make the most specific error for an identity, for instance one read from the wire."""
    if group == "user":
        return UserError(message or "", code, metadata, actor=actor)
    if group == "storage":
        return StorageError(group, code, message, metadata=metadata, actor=actor)
    kind = _BY_IDENTITY.get((group, code), RivetError)
    return kind(group, code, message, metadata=metadata, actor=actor)


def error(identity: str, message: str | None = None, **metadata: object) -> RivetError:
    """Make a catalogued error from ``"group.code"``; keyword arguments fill its message and metadata."""
    spec = CATALOGUE[identity]  # a KeyError here is a bug in our code, never input
    return rebuild(spec.group, spec.code, message, metadata or None)


def callback_timed_out(hook: str, timeout: float) -> RivetError:
    """A lifecycle hook exceeded its budget of ``timeout`` seconds."""
    return error("actor.callback_timed_out", callback=hook, timeout=timeout)


def spec_of(group: str, code: str) -> ErrorSpec | None:
    """The catalogue entry, or None for codes that authors or other SDKs made."""
    return CATALOGUE.get(f"{group}.{code}")


def status_of(group: str, code: str) -> int:
    """HTTP status for an error produced by an actor (client-protocol 6.2)."""
    spec = spec_of(group, code)
    if spec is not None:
        return spec.status
    return 400 if group in _BAD_REQUEST_GROUPS else 500


def is_public(group: str, code: str) -> bool:
    """Whether clients may see message and metadata; decided by the identity alone (client-protocol 6.3)."""
    spec = spec_of(group, code)
    return spec.public if spec is not None else group in _PUBLIC_GROUPS


def find(failure: BaseException) -> RivetError | None:
    """The RivetError in an exception's cause chain, if there is one (actor-runtime 12.1)."""
    seen: set[int] = set()
    current: BaseException | None = failure
    while current is not None and id(current) not in seen:
        if isinstance(current, RivetError):
            return current
        seen.add(id(current))
        current = current.__cause__
    return None


def masked(failure: BaseException, *, expose: bool = False) -> RivetError:
    """What a client may know about ``failure``.

    A structured error keeps its identity; its message and metadata travel only if the identity is public.
    Anything else becomes ``rivetkit.internal_error``. With ``expose`` (RIVET_EXPOSE_ERRORS=1, development
    only) the original text is added to the metadata.
    """
    known = find(failure)
    if known is not None and is_public(known.group, known.code):
        return known
    group, code = (known.group, known.code) if known is not None else ("rivetkit", "internal_error")
    metadata = {"error": f"{type(failure).__name__}: {failure}"} if expose else None
    actor = known.actor if known is not None else None
    return rebuild(group, code, INTERNAL_MESSAGE, metadata, actor)


class _Fields(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return "?"


def _default_message(group: str, code: str, metadata: object) -> str:
    spec = spec_of(group, code)
    if spec is None:
        return INTERNAL_MESSAGE
    fields: Mapping[str, object] = {}
    if isinstance(metadata, Mapping):
        fields = cast("Mapping[str, object]", metadata)
    return spec.message.format_map(_Fields(fields))


def _issues(metadata: object) -> Iterator[Issue]:
    if not isinstance(metadata, Mapping):
        return
    listed = cast("Mapping[str, object]", metadata).get("issues")
    if not isinstance(listed, list):
        return
    for entry in cast("list[object]", listed):
        if isinstance(entry, Mapping):
            yield _issue(cast("Mapping[str, object]", entry))


def _issue(entry: Mapping[str, object]) -> Issue:
    path = entry.get("path")
    steps = cast("list[object]", path) if isinstance(path, list) else []
    return Issue(
        path=tuple(step if isinstance(step, str | int) else str(step) for step in steps),
        message=str(entry.get("message", "")),
        type=str(entry.get("type", "")),
    )
