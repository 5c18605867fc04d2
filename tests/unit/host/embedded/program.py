"""A small server to run as a process of its own: ``python -m tests.unit.host.embedded.program <data_dir>``.

``hold`` answers after SIGUSR1, so that a test decides when; ``fill`` leaves the data files no room to grow.
"""

from __future__ import annotations

import asyncio
import resource
import signal
import sys

from pydantic import BaseModel

from rivetkit import Actor, Registry, action, actor


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
        gate = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, gate.set)
        print("entered", flush=True)
        await gate.wait()
        self.state.text = text
        return text

    @action
    async def fill(self) -> None:
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_960, most))


if __name__ == "__main__":
    Registry(Note, data_dir=sys.argv[1]).run(port=int(sys.argv[2]) if len(sys.argv) > 2 else 0)
