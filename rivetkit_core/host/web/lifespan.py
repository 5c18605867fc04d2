"""The ASGI lifespan of a host: opened at startup, closed at shutdown."""

from __future__ import annotations

from typing import Protocol

from rivetkit_core.errors import RivetError
from rivetkit_core.host.web.asgi import Receive, Send


class Opened(Protocol):
    """A host."""

    async def open(self) -> None: ...

    async def close(self) -> int:
        """Returns how many actors could not save their last changes."""
        ...


async def run_lifespan(host: Opened, receive: Receive, send: Send) -> None:
    """Answer the lifespan messages of a server for as long as it runs."""
    await receive()
    try:
        await host.open()
    except RivetError as failure:
        await send({"type": "lifespan.startup.failed", "message": str(failure)})
        return
    await send({"type": "lifespan.startup.complete"})
    await receive()
    unsaved = await host.close()
    if unsaved:
        text = f"{unsaved} actors could not save their last changes; see the log"
        await send({"type": "lifespan.shutdown.failed", "message": text})
        return
    await send({"type": "lifespan.shutdown.complete"})
