"""The host's alarm: when a sleeping actor must be woken (actor-runtime 8.4).

Invariants
    The alarm is the first due time of everything that follows it: schedules, queues, ``set``.
    Pushes are serial, and each takes the time that is right when it starts.
    What key ``06`` says is never newer than what the host acknowledged.
    A push that failed leaves the alarm dirty; the next change, or the end of the generation, tries again.
    Nothing is pushed before ``begin``, since the alarm of a first start might outlive its failure.
    What is overdue keeps the alarm that the host has until it was taken up: a crash before that must not be
    a reason to sleep.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from rivetkit_core.actor.logs import ActorLog
from rivetkit_core.errors import RivetError
from rivetkit_core.host.port import ActorStorage
from rivetkit_core.wire.persisted import LAST_ALARM_KEY, decode_last_alarm, encode_last_alarm

NextAt = Callable[[], int | None]
"""The first due time, in milliseconds since the Unix epoch."""


class Alarm:
    """Keeps the host's alarm at the next due time of one generation.

    Args:
        set_alarm: Asks the host to wake the actor at a time, or never; returns when the host agreed.
    """

    def __init__(
        self,
        *,
        storage: ActorStorage,
        set_alarm: Callable[[int | None], Awaitable[None]],
        log: ActorLog,
    ) -> None:
        self._storage = storage
        self._set_alarm = set_alarm
        self._log = log
        self._sources: list[NextAt] = []
        self._own: int | None = None
        self._dirty = True
        self._agreed = True  # a generation begins without an alarm
        self._last: int | None = None
        self._noted: int | None = None
        self._begun = False
        self._closed = False
        self._pushing = asyncio.Lock()

    def follow(self, next_at: NextAt) -> None:
        """Have the actor woken for this as well."""
        self._sources.append(next_at)

    def adopt(self, stored: bytes | None) -> None:
        """Start from what an earlier generation noted.

        Raises:
            ProtocolError: The note cannot be read.
        """
        self._noted = None if stored is None else decode_last_alarm(stored)

    async def begin(self, *, after: int | None = None) -> None:
        """Push from now on. Never raises.

        Args:
            after: What is due by then will be taken up at once; if there is such, nothing is pushed yet.
        """
        first = None if after is None else self._next_at()
        if after is None or first is None or first > after:
            self._begun = True
            await self._sync(note=after is None)  # the start may set again what was noted

    async def changed(self) -> None:
        """A due time may have changed: tell the host if the first one did.

        Never raises; waits for the host and for earlier pushes.
        """
        self._dirty = True
        await self._sync()

    async def set(self, at_ms: int | None) -> None:
        """Have the actor woken at any time; None takes that back. The next start forgets it."""
        self._own = at_ms
        await self.changed()

    async def finish(self) -> None:
        """Leave the host with the right alarm; messages that came due meanwhile wake nobody. Never raises."""
        self._dirty = True
        await self._sync()

    async def clear(self) -> None:
        """Have the host forget the alarm, for good. Never raises."""
        async with self._pushing:
            self._closed = True
            if not self._agreed or self._last is not None:
                await self._push(None)

    def close(self) -> None:
        """Push and note nothing any more: this generation has no right to."""
        self._closed = True

    def _next_at(self) -> int | None:
        times = [self._own, *(source() for source in self._sources)]
        return min((at for at in times if at is not None), default=None)

    async def _sync(self, *, note: bool = True) -> None:
        async with self._pushing:
            if not self._dirty or self._closed or not self._begun:
                return
            self._dirty = not note
            wanted = self._next_at()
            if not self._agreed or wanted != self._last:
                await self._push(wanted)
            elif note:
                self._log.debug("alarm unchanged", extra={"timestamp_ms": wanted, "outcome": "skipped"})
                await self._note(wanted)

    async def _push(self, wanted: int | None) -> None:
        self._agreed = False
        self._log.debug("alarm sent", extra={"timestamp_ms": wanted, "outcome": "sent"})
        try:
            await self._set_alarm(wanted)
        except RivetError as failure:
            self._dirty = True
            self._log.warning(
                "the alarm was not set, it will be tried again: %s", failure, extra={"timestamp_ms": wanted}
            )
            return
        except BaseException:
            self._dirty = True
            raise
        self._last, self._agreed = wanted, True
        self._log.debug("alarm set", extra={"timestamp_ms": wanted, "outcome": "acknowledged"})
        if not self._closed:
            await self._note(wanted)

    async def _note(self, wanted: int | None) -> None:
        if wanted == self._noted:
            return
        try:
            await self._storage.apply({LAST_ALARM_KEY: encode_last_alarm(wanted)})
        except RivetError as failure:
            self._log.warning(
                "the alarm that was set could not be noted: %s", failure, extra={"timestamp_ms": wanted}
            )
        else:
            self._noted = wanted
