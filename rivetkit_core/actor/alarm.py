"""The host's alarm: when a sleeping actor must be woken (actor-runtime 8.4).

Invariants
    Pushes are serial, and each takes the time that is right when it starts.
    What key ``06`` says is never newer than what the host acknowledged.
    A push that failed leaves the alarm dirty; the next change, or the end of the generation, tries again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from rivetkit_core.errors import RivetError
from rivetkit_core.host.port import ActorStorage
from rivetkit_core.wire.persisted import LAST_ALARM_KEY, decode_last_alarm, encode_last_alarm

SetAlarm = Callable[[int | None], Awaitable[None]]
"""Asks the host to wake the actor at a time in milliseconds, or never; returns when the host agreed."""


async def no_alarm(at_ms: int | None) -> None:
    """For actors that nobody wakes."""


class Alarm:
    """Keeps the host's alarm at the next due time. ``next_at`` gives it: the first one later than its
    argument, in milliseconds."""

    def __init__(
        self,
        *,
        storage: ActorStorage,
        set_alarm: SetAlarm,
        next_at: Callable[[int | None], int | None],
        log: logging.LoggerAdapter[logging.Logger],
    ) -> None:
        self._storage = storage
        self._set_alarm = set_alarm
        self._next_at = next_at
        self._log = log
        self._dirty = True
        self._agreed = False
        self._last: int | None = None
        self._noted: int | None = None
        self._closed = False
        self._pushing = asyncio.Lock()

    def adopt(self, stored: bytes | None) -> None:
        """Start from what an earlier generation noted.

        Raises:
            ProtocolError: The note cannot be read.
        """
        self._noted = None if stored is None else decode_last_alarm(stored)

    def touch(self) -> None:
        """The next due time may have changed."""
        self._dirty = True

    async def sync(self, *, after: int | None = None) -> None:
        """Tell the host if there is something new. Never raises; waits for the host and for earlier pushes.

        ``after``: leave out what is due by then, because it will be fired at once. What is left out is
        looked at again by the next ``sync``.
        """
        async with self._pushing:
            if not self._dirty or self._closed:
                return
            self._dirty = after is not None
            wanted = self._next_at(after)
            # A new generation has no alarm before it sets one, so the first push is never left out.
            if self._agreed and wanted is not None and wanted == self._last:
                return
            await self._push(wanted)

    async def clear(self) -> None:
        """Have the host forget the alarm, for good. Never raises."""
        async with self._pushing:
            self._closed = True
            await self._push(None)

    def close(self) -> None:
        """Push and note nothing any more: this generation has no right to."""
        self._closed = True

    async def _push(self, wanted: int | None) -> None:
        self._agreed = False
        try:
            await self._set_alarm(wanted)
        except RivetError as failure:
            self._dirty = True
            self._log.warning("the alarm was not set, it will be tried again: %s", failure)
            return
        except BaseException:
            self._dirty = True
            raise
        self._last, self._agreed = wanted, True
        if wanted != self._noted and not self._closed:
            await self._note(wanted)

    async def _note(self, wanted: int | None) -> None:
        try:
            await self._storage.apply({LAST_ALARM_KEY: encode_last_alarm(wanted)})
        except RivetError as failure:
            self._log.warning("the alarm that was set could not be noted: %s", failure)
        else:
            self._noted = wanted
