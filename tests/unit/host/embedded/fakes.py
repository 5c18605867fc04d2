"""An embedded host in memory, and ASGI scopes made by hand."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path

from pydantic import BaseModel

from rivetkit import Actor, Event, action, actor
from rivetkit._compiler import compile_actor
from rivetkit_core.clock import SystemClock
from rivetkit_core.entropy import SeededEntropy
from rivetkit_core.host.embedded.host import EmbeddedHost
from rivetkit_core.host.embedded.store import SqliteStore
from rivetkit_core.host.embedded.store_port import HostStore
from rivetkit_core.host.web.asgi import Scope
from rivetkit_core.testing import MemoryStore


class TextState(BaseModel):
    text: str = ""


@actor(name="note", durability="strict")
class Note(Actor):
    """Keeps a text."""

    state: TextState

    written = Event[str]()

    @action
    async def write(self, text: str) -> str:
        self.state.text = text
        self.written.broadcast(text)
        return text

    @action
    async def read(self) -> str:
        return self.state.text


def new_host(store: HostStore | None = None) -> EmbeddedHost:
    """A host that serves ``note``, not open yet."""
    return EmbeddedHost(
        [compile_actor(Note)],
        store=store or MemoryStore(),
        clock=SystemClock(),
        entropy=SeededEntropy(1),
    )


@contextlib.asynccontextmanager
async def open_host(store: HostStore | None = None) -> AsyncGenerator[EmbeddedHost]:
    host = new_host(store)
    await host.open()
    try:
        yield host
    finally:
        await host.close()


def sqlite(directory: Path) -> SqliteStore:
    return SqliteStore(directory / "data")


def http_scope(
    path: str,
    *,
    method: str = "GET",
    raw_path: bytes | None = b"",
    root_path: str | None = None,
    query: bytes = b"",
    headers: list[tuple[bytes, bytes]] | None = None,
) -> Scope:
    """A scope; ``raw_path`` empty means like ``path``, None means the server gives none."""
    scope: Scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query,
        "headers": headers or [],
    }
    if raw_path is not None:
        scope["raw_path"] = raw_path or path.encode()
    if root_path is not None:
        scope["root_path"] = root_path
    return scope
