"""Commits an actor's statements and its records together, although they are in two files.

    1  the actor's file    COMMIT of the statements, and of a note that holds the records, flushed to the disk
    2  the store's file    the records, and the number of the note, flushed to the disk

The first commit decides. Before it nothing happened: SQLite rolls the statements back. After it everything
happened, because whoever starts the actor next finishes the second step from the note (``finish_joint``)
before anything else is read.

Invariants
    A note is replaced only after its records are on the disk, so one note is enough.
    Records are never on the disk without the statements they were committed with.
    No other write of the same records comes between the steps: ``commit`` ends what it began first, and what
    failed to be written waits in the actor and is written by its next ``commit``.
    Numbers grow, also when a file was lost: they go on from what the records say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from rivetkit_core.host.embedded.database_file import DatabaseFile
from rivetkit_core.host.port import ActorStorage
from rivetkit_core.wire.bare import Reader, Writer

FINISHED_KEY = b"\x70\x79\x03"
"""The record with the number of the last note whose records were written."""

_T = TypeVar("_T")


class _Run(Protocol):
    async def __call__(self, function: Callable[[DatabaseFile], _T], /) -> _T: ...


@dataclass(frozen=True, slots=True)
class _Note:
    number: int
    puts: Mapping[bytes, bytes]
    deletes: Sequence[bytes]


class LocalJointCommit:
    """``JointCommit`` of one generation.

    Args:
        run: Runs a function on the actor's file.
        records: The actor's records; what is applied survives a failure of the power.
        between: Told whether a commit is between its steps.
    """

    def __init__(self, run: _Run, records: ActorStorage, *, between: Callable[[bool], None]) -> None:
        self._run = run
        self._records = records
        self._between = between
        self._unfinished: _Note | None = None
        self._last: int | None = None

    async def begin(self) -> bool:
        return await self._run(lambda file: file.begin_joint())

    async def commit(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes] = ()) -> None:
        if self._unfinished is not None:
            await self._finish(self._unfinished)
        if not await self._run(lambda file: file.in_transaction):
            await self._records.apply(puts, deletes)
            return
        if self._last is None:
            self._last = await _finished(self._records)
        note = _Note(self._last + 1, dict(puts), tuple(deletes))
        encoded = _encode(note)
        self._between(True)
        await self._run(lambda file: file.commit_joint(note.number, encoded))
        self._unfinished = note
        await self._finish(note)

    async def _finish(self, note: _Note) -> None:
        await _write(self._records, note)
        self._last, self._unfinished = note.number, None
        self._between(False)


async def finish_joint(run: _Run, records: ActorStorage) -> None:
    """Finish a commit that the last end of the actor cut in two; before anything else is read.

    Raises:
        RivetError: It could not be looked at, or not be finished; trying again is safe.
    """
    notes = await run(lambda file: file.joint_commits())
    if notes:
        finished = await _finished(records)
        for number, encoded in notes:
            if number > finished:
                await _write(records, _decode(number, encoded))


async def _write(records: ActorStorage, note: _Note) -> None:
    finished = {FINISHED_KEY: note.number.to_bytes(8, "big")}
    await records.apply({**note.puts, **finished}, note.deletes)


async def _finished(records: ActorStorage) -> int:
    found = await records.load([FINISHED_KEY])
    return int.from_bytes(found.get(FINISHED_KEY, b""), "big")


def _encode(note: _Note) -> bytes:
    writer = Writer()
    writer.map(note.puts, writer.data, writer.data)
    writer.list(note.deletes, writer.data)
    return writer.finish()


def _decode(number: int, encoded: bytes) -> _Note:
    reader = Reader(encoded)
    note = _Note(number, reader.map(reader.data, reader.data), reader.list(reader.data))
    reader.finish()
    return note
