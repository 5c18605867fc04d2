"""The text forms of an actor key, an ordered list of strings (client-protocol 1.2).

serialized    parts joined by "/"; "\\" and "/" in a part escaped with "\\"; "" is "\\0"; () is "/"
displayed     the same, but () is "" (response header, ``actor.key`` of errors)
query         parts joined by "," without escaping: lossy, see ``fits_query``
"""

from __future__ import annotations

MAX_SERIALIZED = 1024
"""Longest serialized key the manager API takes, in UTF-8 bytes."""

Key = tuple[str, ...]


def serialize(key: Key) -> str:
    """The canonical form; ``deserialize`` gives back the same key."""
    if not key:
        return "/"
    return "/".join(_escape(part) for part in key)


def deserialize(text: str | None) -> Key:
    """Read any text as a key; there is no invalid one. ``None``, ``""`` and ``"/"`` are the empty key."""
    if text is None or text in ("", "/"):
        return ()
    parts: list[str] = []
    current: list[str] = []
    marked_empty = False
    characters = iter(text)
    for character in characters:
        if character == "/":
            parts.append("" if marked_empty else "".join(current))
            current, marked_empty = [], False
        elif character == "\\":
            escaped = next(characters, "\\")  # a dangling backslash stands for itself
            if escaped == "0":
                marked_empty = True
            else:
                current.append(escaped)
        else:
            current.append(character)
    parts.append("" if marked_empty else "".join(current))
    return tuple(parts)


def display(key: Key) -> str:
    """The form of headers and errors."""
    return serialize(key) if key else ""


def to_query(key: Key) -> str:
    """The ``rvt-key`` form, before URL encoding."""
    return ",".join(key)


def from_query(text: str) -> Key:
    """Read the ``rvt-key`` form, after URL decoding."""
    return tuple(text.split(",")) if text else ()


def fits_query(key: Key) -> bool:
    """Whether the query form addresses this very key. If not, resolve the actor's id first."""
    return from_query(to_query(key)) == key


def _escape(part: str) -> str:
    return part.replace("\\", "\\\\").replace("/", "\\/") if part else "\\0"
