"""Headers between the tunnel, which has one text a name, and applications, which have bytes."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from rivetkit_core.asgi import RawHeaders

log = logging.getLogger("rivetkit.tunnel")


def as_raw(headers: Mapping[str, str]) -> RawHeaders:
    """What the engine passed on of a client's headers."""
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


def as_text(headers: RawHeaders) -> dict[str, str]:
    """What the tunnel can carry: repeated headers are joined, of several cookies the last one goes."""
    texts: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1"), _text(raw_value)
        if name == "set-cookie":
            if name in texts:
                log.warning("an answer sets several cookies, and an engine carries one")
            texts[name] = value
        else:
            texts[name] = f"{texts[name]}, {value}" if name in texts else value
    return texts


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
