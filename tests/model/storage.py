"""One generation's way to its actor's records: in order, slow, failing on demand, and mortal."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from rivetkit_core.clock import Clock
from rivetkit_core.errors import StorageError
from rivetkit_core.host.port import Records, prefix_end

T = TypeVar("T")

QUEUE_PREFIX = b"\x05"
DOWN = StorageError("storage", "unavailable", "down")


class Door:
    """``ActorStorage`` of one generation, and its alarm, over records that outlive it.

    Operations take effect one by one, in the order they were asked for. ``written`` is called after every
    write that took effect.

    Attributes:
        dead: Whether the process has died: nothing is answered any more, until it is ``buried``.
        faults: Writes that will fail, each with whether it takes effect all the same, which only writes to
            the queue may: the port promises the others that nothing was written.
        failed: How many have.
    """

    def __init__(
        self,
        records: dict[bytes, bytes],
        clock: Clock,
        chance: random.Random,
        *,
        seconds: float,
        written: Callable[[], None],
        forbidden: Callable[[], None],
    ) -> None:
        self._records = records
        self._clock = clock
        self._chance = chance
        self._seconds = seconds
        self._written = written
        self._forbidden = forbidden
        self._order = asyncio.Lock()
        self._last: tuple[int, bool] | None = None
        self.alarm: int | None = None
        self.alarm_was_set = False
        self.dead = False
        self.died_at: float | None = None
        self.buried = asyncio.Event()
        self.faults: deque[bool] = deque()
        self.failed = 0

    def die_at(self, write: int, *, happens: bool) -> None:
        """Let the process die at its next write but ``write``, which takes effect or not."""
        self._last = (write, happens)

    def spare(self) -> None:
        """Let the process live on."""
        self._last = None

    def die(self) -> None:
        """Let the process die now."""
        self.dead = True
        if self.died_at is None:
            self.died_at = self._clock.monotonic()

    async def load(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        return await self._read(lambda: {key: self._records[key] for key in keys if key in self._records})

    async def apply(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes] = ()) -> None:
        puts, deletes = dict(puts), tuple(deletes)

        def effect() -> None:
            self._records.update(puts)
            for key in deletes:
                self._records.pop(key, None)

        queue = all(key.startswith(QUEUE_PREFIX) for key in (*puts, *deletes))
        await self._write(effect, uncertain=queue)

    async def list_range(
        self, start: bytes, end: bytes, *, reverse: bool = False, limit: int | None = None
    ) -> Records:
        def found() -> Records:
            between = [(key, value) for key, value in self._records.items() if start <= key < end]
            return sorted(between, reverse=reverse)[:limit]

        return await self._read(found)

    async def list(self, prefix: bytes, *, reverse: bool = False, limit: int | None = None) -> Records:
        return await self.list_range(prefix, prefix_end(prefix), reverse=reverse, limit=limit)

    async def delete_range(self, start: bytes, end: bytes) -> None:
        def effect() -> None:
            for key in [key for key in self._records if start <= key < end]:
                del self._records[key]

        await self._write(effect)

    async def set_alarm(self, at_ms: int | None) -> None:
        def effect() -> None:
            self.alarm, self.alarm_was_set = at_ms, True

        await self._write(effect, may_fail=False)

    async def _read(self, look: Callable[[], T]) -> T:
        async with self._order:
            await self._travel()
            return look()

    async def _write(
        self, effect: Callable[[], None], *, may_fail: bool = True, uncertain: bool = False
    ) -> None:
        self._forbidden()
        async with self._order:
            try:
                await self._travel()
            except asyncio.CancelledError:
                if not self.dead and self._chance.random() < 0.5:  # it was under way already
                    self._take_effect(effect)
                raise
            if self._dies_now():
                if self._last is not None and self._last[1]:
                    self._take_effect(effect)
                self.die()
                await self._unless_dead()
            if may_fail and self.faults:
                self.failed += 1
                if self.faults.popleft() and uncertain:
                    self._take_effect(effect)
                raise DOWN
            self._take_effect(effect)
        await asyncio.sleep(0)

    def _take_effect(self, effect: Callable[[], None]) -> None:
        effect()
        self._written()

    def _dies_now(self) -> bool:
        if self._last is None:
            return False
        left, happens = self._last
        self._last = (left - 1, happens)
        return left <= 0

    async def _travel(self) -> None:
        await self._unless_dead()
        if self._seconds:
            await self._clock.sleep(self._seconds)
        for _ in range(self._chance.randrange(4)):
            await asyncio.sleep(0)
        await self._unless_dead()

    async def _unless_dead(self) -> None:
        if self.dead:
            await self.buried.wait()
            raise DOWN
