"""The program under test: two ledgers behind the real server, made to be killed.

    python -m tests.crash.server --port 0 --data-dir D

Prints one line, its URL, when it accepts connections.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

import uvloop
from pydantic import BaseModel

from rivetkit import Actor, Event, Registry, action, actor

SAVE_INTERVAL = 0.2


class Entries(BaseModel):
    """Every append in the order it was made; ``count`` is redundant, so that a torn state shows."""

    entries: list[tuple[str, int]] = []
    count: int = 0


class Ledger(Actor):
    """Appends, and tells everybody the position each one got, counted from 1."""

    state: Entries
    appended = Event[tuple[str, int, int]]()

    @action
    async def append(self, client: str, number: int) -> int:
        self.state.entries.append((client, number))
        self.state.count += 1
        self.appended.broadcast((client, number, self.state.count))
        return self.state.count

    @action
    async def numbers(self) -> Entries:
        return self.state

    @action
    async def generation(self) -> int:
        return self.ctx.generation


@actor(durability="strict")
class StrictLedger(Ledger):
    """Whatever anybody saw of it is still there after a kill."""


@actor(state_save_interval=SAVE_INTERVAL)
class ThrottledLedger(Ledger):
    """May lose what it did during the last interval, and nothing else."""


async def run(data_dir: Path, port: int) -> None:
    """Serve until killed."""
    registry = Registry(StrictLedger, ThrottledLedger, data_dir=data_dir)
    await registry.serve(port=port, on_ready=announce)


def announce(url: str) -> None:
    """Tell the parent process where to connect."""
    print(url, flush=True)


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--data-dir", type=Path, required=True)
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(options.data_dir, options.port))


if __name__ == "__main__":
    main()
