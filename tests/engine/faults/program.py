"""The program under test: ledgers on an engine, made to be killed, paused and cut off.

    FAULTS_JOURNAL=FILE RIVET_ENDPOINT=URL RIVET_NAMESPACE=NAME python -m tests.engine.faults.program

Prints one line when the engine may place actors on it. Writes down in the journal when each generation
lived and what it did, so that two lives at once and repeated work show.
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import os
import time

import uvloop
from pydantic import BaseModel

from rivetkit import Actor, Event, Registry, action, actor

SAVE_INTERVAL = 2.0
BEAT = 0.05


class Entries(BaseModel):
    """Every append in the order it was made. ``blob`` is ``mark`` repeated, so that a torn state shows."""

    entries: list[str] = []
    blob: str = ""
    mark: str = ""


class Ledger(Actor):
    """Appends, and keeps a blob of any size."""

    state: Entries
    appended = Event[str]()

    async def on_wake(self) -> None:
        self.write("wake")
        self.beating = asyncio.create_task(self.beat())

    async def beat(self) -> None:
        while not self.ctx.aborted:
            self.write("beat")
            try:
                async with asyncio.timeout(BEAT):
                    await self.ctx.wait_aborted()
            except TimeoutError:
                continue
        self.write("end")

    @action
    async def append(self, entry: str) -> int:
        self.write("append", entry)
        self.state.entries.append(entry)
        self.appended.broadcast(entry)
        return len(self.state.entries)

    @action
    async def append_and_wait(self, entry: str) -> int:
        """Appends, saves and never answers; in a later generation than the first one it answers."""
        self.write("append", entry)
        self.state.entries.append(entry)
        await self.ctx.save_state()
        if self.ctx.generation == 1:
            await asyncio.Event().wait()
        return len(self.state.entries)

    @action
    async def fill(self, mark: str, size: int) -> None:
        self.state.mark = mark
        self.state.blob = mark * size

    @action
    async def filled(self) -> tuple[str, int]:
        """The mark and the size of the blob; an error if the two do not fit."""
        state = self.state
        if state.blob.count(state.mark) != len(state.blob) * bool(state.mark):
            raise RuntimeError("the state is torn")
        return state.mark, len(state.blob)

    @action
    async def entries(self) -> list[str]:
        return self.state.entries

    @action
    async def whereabouts(self) -> tuple[int, int]:
        """The generation and the process."""
        return self.ctx.generation, os.getpid()

    @action
    async def block(self, seconds: float) -> None:
        """Stop the whole event loop, as careless code does."""
        self.state.entries.append("blocked")
        time.sleep(seconds)  # noqa: ASYNC251 - the fault itself

    def write(self, what: str, entry: str = "") -> None:
        """Append to the journal, which outlives the process."""
        line = {
            "actor": self.ctx.actor_id,
            "generation": self.ctx.generation,
            "process": os.getpid(),
            "at": time.monotonic(),
            "what": what,
            "entry": entry,
        }
        os.write(journal(), json.dumps(line).encode() + b"\n")


@actor(durability="strict", shutdown_grace_period=2.0)
class StrictLedger(Ledger):
    """Whatever anybody saw of it is still there after a kill."""


@actor(state_save_interval=SAVE_INTERVAL, shutdown_grace_period=2.0)
class ThrottledLedger(Ledger):
    """May lose what it did during the last interval, and nothing else."""


@functools.cache
def journal() -> int:
    """The open journal; a single write to it never mixes with those of other processes."""
    return os.open(os.environ["FAULTS_JOURNAL"], os.O_CREAT | os.O_APPEND | os.O_WRONLY)


async def run() -> None:
    """Serve until killed or told to stop."""
    registry = Registry(StrictLedger, ThrottledLedger)
    await registry.serve(handle_signals=True, on_ready=lambda url: print(url, flush=True))


if __name__ == "__main__":
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
