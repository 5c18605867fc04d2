"""Actors of the contract suite that run what a test gives them, beside the stores they have."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from rivetkit import Actor, Context, Queue, action, actor

Program = Callable[[Context], Awaitable[None]]


class _Given:
    """What the actors run next, and how it failed: hosts of this suite run in the process of its tests."""

    program: Program | None = None
    failure: BaseException | None = None


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


STORAGE_CLASSES: Sequence[type[Actor]] = (ThrottledStores, StrictStores)
