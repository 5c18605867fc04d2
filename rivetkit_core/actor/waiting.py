"""SQL of strict code: it waits in an open transaction, which the next save commits together with its records.

    statement of strict code --begin--> open --save: ``commit``--> stored
                                          \\--crash--> rolled back, like all the save would have stored

Where the host cannot commit both together, nothing waits: statements commit by themselves, and a save only
waits for blocks of strict code that are open.

Invariants
    Only strict code's statements are in the open transaction.
    A save that begins while something waits holds the database's turn: what it stores is of one moment.
    If SQLite itself undoes what waits, the generation ends without another save: its memory is ahead of what
    can ever be stored.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

from rivetkit_core.actor.transaction import Transaction, finished
from rivetkit_core.errors import RivetError, StorageError, error
from rivetkit_core.host.port import ActorDatabase


class WaitingSql:
    """What waits in one generation's database.

    Attributes:
        turn: Held by whoever uses the database.
        block: The block of strict code that is open.
        lost: Called when what waited is gone.
    """

    def __init__(self, port: ActorDatabase | None) -> None:
        self.turn = asyncio.Lock()
        self.block: Transaction | None = None
        self.lost: Callable[[], None] = lambda: None
        self._port = port
        self._open = False
        self._owed = False
        self._ending = False

    @property
    def open(self) -> bool:
        """Whether statements run in a transaction that the next save commits."""
        return self._open

    @property
    def has_effects(self) -> bool:
        """Whether a save has to go through ``commit``."""
        return self._open or self._owed

    @property
    def waits(self) -> bool:
        """Whether a save has to hold the turn."""
        return self._open or self._owed or self.block is not None

    async def begin(self) -> bool:
        """Let the following statements wait; False if they commit by themselves. The caller has the turn."""
        if self._open:
            return True
        if self._port is None or self._port.joint is None:
            return False
        await finished(self._begin())
        return self._open

    async def commit(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes]) -> None:
        """Store what waits, together with records. The caller has the turn, and is not cancelled.

        Raises:
            StorageError: As ``JointCommit.commit`` does, for every reason.
        """
        assert self._port is not None
        assert self._port.joint is not None
        try:
            await self._port.joint.commit(puts, deletes)
        except RivetError as failure:
            was_open, self._open = self._open, await self._is_open()
            self._owed = isinstance(failure, StorageError)
            if not self._owed:
                if (was_open and not self._open) or _is_refusal(failure):
                    self.lost()
                raise error("storage.unavailable") from failure
            raise
        self._open = self._owed = False

    async def look(self) -> None:
        """After a statement failed: find out whether SQLite undid what waits."""
        if self._open and not await self._is_open():
            self._open = False
            self.lost()

    @contextlib.asynccontextmanager
    async def taken_along(self) -> AsyncGenerator[None]:
        """Hold the turn for a save."""
        if self._ending:  # nobody has it who could still use it
            yield
            return
        async with self.turn:
            yield

    async def end(self) -> None:
        """Nothing runs any more that could end a block: undo what is open, and let the last save through."""
        self._ending = True
        if self.block is not None:
            await self.block.roll_back()
            self.block = None

    async def _begin(self) -> None:
        assert self._port is not None
        assert self._port.joint is not None
        self._open = await self._port.joint.begin()

    async def _is_open(self) -> bool:
        assert self._port is not None
        try:
            return await self._port.in_transaction()
        except RivetError:
            return False


def _is_refusal(failure: RivetError) -> bool:
    """Whether trying the commit again would end the same way."""
    return failure.code == "constraint_failed"
