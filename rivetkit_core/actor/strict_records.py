"""The actor's records as its own code reads and writes them, strict or not.

What strict code writes waits for the next save, which stores it together with the state. Reads see what
waits. Everything else is durable when it returns.

Invariants
    Writes to a key take effect in the order they were made, strict or not.
    Waiting writes fit into one write of the host, unless a single one is larger: that is stored by itself.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping, Sequence

from rivetkit_core.actor.saver import Saver
from rivetkit_core.host.port import ActorStorage, Records, prefix_end

_FEW = 256
"""Records of a range that are deleted one by one, so that strict code can wait."""


class StrictRecords:
    """An ``ActorStorage`` whose writes wait in strict code.

    Args:
        gated: Whether the running code is strict.
    """

    def __init__(self, storage: ActorStorage, *, saver: Saver, gated: Callable[[], bool]) -> None:
        self._storage = storage
        self._saver = saver
        self._pending = saver.pending
        self._gated = gated

    async def load(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        waiting = {key: self._pending.get(key) for key in keys if key in self._pending}
        asked = [key for key in dict.fromkeys(keys) if key not in waiting]
        found = await self._storage.load(asked) if asked else {}
        return {**found, **{key: value for key, value in waiting.items() if value is not None}}

    async def apply(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes] = ()) -> None:
        changes: dict[bytes, bytes | None] = {**puts, **dict.fromkeys(deletes)}
        if not changes:
            return
        pending = self._pending
        if self._gated():
            while len(pending) and not pending.takes(changes):
                await self._flush()
            if pending.takes(changes):
                pending.add(changes)
                self._saver.request()
                return
        elif any(key in pending for key in changes):
            await self._flush()
        await self._storage.apply(puts, deletes)

    async def list_range(
        self, start: bytes, end: bytes, *, reverse: bool = False, limit: int | None = None
    ) -> Records:
        waiting = self._pending.between(start, end)
        asked = None if limit is None else limit + len(waiting)
        stored = await self._storage.list_range(start, end, reverse=reverse, limit=asked)
        if not waiting:
            return stored
        seen: dict[bytes, bytes | None] = {**dict(stored), **waiting}
        found = [(key, value) for key, value in seen.items() if value is not None]
        return sorted(found, reverse=reverse)[:limit]

    async def list(self, prefix: bytes, *, reverse: bool = False, limit: int | None = None) -> Records:
        return await self.list_range(prefix, prefix_end(prefix), reverse=reverse, limit=limit)

    async def delete_range(self, start: bytes, end: bytes) -> None:
        if self._gated():
            found = dict.fromkeys(key for key, _ in await self.list_range(start, end, limit=_FEW + 1))
            if len(found) <= _FEW and self._pending.takes(found):
                await self.apply({}, builtins.list(found))
                return
        if self._pending.between(start, end):
            await self._flush()
        await self._storage.delete_range(start, end)

    async def settled(self) -> None:
        """Return when what the running code wrote is durable.

        Inside of a block, which a save would wait for, that is left to the save after it.

        Raises:
            StorageError: It is not; storing it is tried again.
        """
        if self._gated() and not self._saver.would_wait_for_itself():
            await self._flush()

    def then(self, follow: Callable[[], None]) -> None:
        """Call it when what the running code wrote is durable: now, or after the next save."""
        if self._gated() and len(self._pending):
            self._pending.then(follow)
        else:
            follow()

    async def _flush(self) -> None:
        await self._saver.request_and_wait()
