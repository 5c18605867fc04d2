"""Actors of the contract suite that run what a test gives them, beside the stores they have."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Self

from pydantic import BaseModel, model_validator

from rivetkit import Actor, Conn, Context, Queue, action, actor

Program = Callable[[Context], Awaitable[None]]


class _Given:
    """What the actors run next, and how it failed: hosts of this suite run in the process of its tests."""

    program: Program | None = None
    failure: BaseException | None = None
    unreadable = False
    readings = 0
    last_words: Sequence[str] = ()

    def __init__(self) -> None:
        self.asleep = asyncio.Event()


given = _Given()


class Stores(Actor):
    """Runs the test's program with what the runtime offers."""

    state: int = 0
    letters = Queue[str]()

    @action
    async def send(self, text: str) -> None:
        await self.letters.send(text)

    @action
    async def receive(self) -> str | None:
        letter = await self.letters.try_next()
        return None if letter is None else letter.body

    @action
    async def run_program(self) -> None:
        program, given.program = given.program, None
        assert program is not None
        try:
            await program(self.ctx)
        except BaseException as failure:
            given.failure = failure
            raise

    @action
    async def run_counting(self) -> int:
        self.state += 1
        await self.run_program()
        return self.state

    @action
    async def count(self) -> int:
        return self.state


@actor(name="stores")
class ThrottledStores(Stores):
    """What it writes is durable at once."""


@actor(name="strictStores", durability="strict")
class StrictStores(Stores):
    """What it writes is durable with its state."""


class FragileState(BaseModel):
    """Cannot be read while the test says so."""

    value: int = 0

    @model_validator(mode="after")
    def refuse(self) -> Self:
        if given.unreadable:
            given.readings += 1
            raise ValueError("it does not fit any more")
        return self


@actor(name="fragile")
class Fragile(Actor):
    """Has a state that newer code may not be able to read."""

    state: FragileState

    @action
    async def set_and_nap(self, value: int) -> None:
        self.state.value = value
        await self.ctx.sleep()

    @action
    async def value(self) -> int:
        return self.state.value

    async def on_sleep(self) -> None:
        given.asleep.set()


@actor(name="diarist")
class Diarist(Actor):
    """Uses its database wherever its code runs."""

    async def on_migrate(self, is_new: bool) -> None:
        await self.ctx.db.migrate(["CREATE TABLE entries (text TEXT)"])

    @action
    async def write(self, text: str) -> None:
        await self.ctx.db.execute("INSERT INTO entries VALUES (?)", [text])

    @action
    async def read(self) -> list[str]:
        return await self.ctx.db.fetch_all("SELECT text FROM entries ORDER BY rowid", into=str)

    @action
    async def plan_and_nap(self) -> None:
        await self.ctx.schedule.after(0.0, Diarist.write, "scheduled")
        await self.ctx.sleep()

    @action
    async def bye(self) -> None:
        await self.ctx.destroy()

    async def on_disconnect(self, conn: Conn[Any, Any]) -> None:
        if conn.params == "remember me":
            await self.write("disconnected")

    async def on_sleep(self) -> None:
        await self.write("asleep")

    async def on_destroy(self) -> None:
        await self.write("destroyed")
        given.last_words = await self.read()
        given.asleep.set()


STORAGE_CLASSES: Sequence[type[Actor]] = (ThrottledStores, StrictStores, Fragile, Diarist)
