"""A small server to run as a process of its own: ``python -m tests.unit.host.embedded.program <data_dir>``.

Prints its URL when it serves, ``entered`` when the held action runs, and like ``Registry.run`` one line on
stderr when it cannot go on. SIGUSR1 lets the held action finish; ``fill`` stops the store from growing.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from pydantic import BaseModel

from rivetkit import Actor, action, actor
from rivetkit._compiler import compile_actor
from rivetkit_core.clock import SystemClock
from rivetkit_core.entropy import SystemEntropy
from rivetkit_core.errors import RivetError, error
from rivetkit_core.host.embedded.gateway.app import GatewayApp
from rivetkit_core.host.embedded.host import EmbeddedHost
from rivetkit_core.host.embedded.server import Address, ServeError, bind, serve
from rivetkit_core.host.embedded.store import SqliteStore

_gate = asyncio.Event()


class NoteState(BaseModel):
    text: str = ""


@actor(name="note", state_save_interval=3600.0)
class Note(Actor):
    """Keeps a text that only the shutdown saves."""

    state: NoteState

    @action
    async def write(self, text: str) -> None:
        self.state.text = text

    @action
    async def read(self) -> str:
        return self.state.text

    @action
    async def hold(self, text: str) -> str:
        print("entered", flush=True)
        await _gate.wait()
        self.state.text = text
        return text


async def run(data_dir: Path, *, fill: bool) -> None:
    store = SqliteStore(data_dir)
    host = EmbeddedHost([compile_actor(Note)], store=store, clock=SystemClock(), entropy=SystemEntropy())
    await host.open()
    listener = bind(Address(port=0))
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, _gate.set)
    if fill:
        await store.run("PRAGMA max_page_count = 1")

    async def finish() -> None:
        unsaved = await host.close()
        if unsaved:
            raise error("storage.unavailable", f"{unsaved} actors could not save their last changes")

    def ready() -> None:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)

    await serve(GatewayApp(host), listener, finish=finish, on_ready=ready)


def main() -> None:
    try:
        asyncio.run(run(Path(sys.argv[1]), fill="fill" in sys.argv[2:]))
    except (RivetError, ServeError) as failure:
        print(f"rivetkit: {failure}", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
