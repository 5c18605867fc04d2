"""What an editor on somebody's screen does: keeps a copy of the document up to date, and sends edits."""

from __future__ import annotations

from uuid import uuid4

from examples.collaborative_document.app import Change, Document, Snapshot
from examples.collaborative_document.edits import Edit
from rivetkit import ActorConnection


class Editor:
    """One person's copy of a document. ``hear`` takes changes in any order, and as often as they come."""

    def __init__(self, conn: ActorConnection[Document], opened: Snapshot) -> None:
        self._conn = conn
        self.text: str = opened.text
        self.version: int = opened.version

    @classmethod
    async def open(cls, conn: ActorConnection[Document]) -> Editor:
        return cls(conn, await conn.call(Document.read))

    async def write(self, position: int, inserted: str, *, removed: int = 0) -> None:
        """Send an edit of the copy as it is now. The copy changes when the edit comes back."""
        edit = Edit(position=position, removed=removed, inserted=inserted)
        await self.hear(await self._conn.call(Document.edit, uuid4().hex, self.version, edit))

    async def hear(self, change: Change) -> None:
        """Apply a change, and what was missed before it."""
        if change.version > self.version + 1:
            for missed in await self._conn.call(Document.since, self.version):
                self._apply(missed)
        self._apply(change)

    def _apply(self, change: Change) -> None:
        if change.version == self.version + 1:
            self.text = change.edit.apply(self.text)
            self.version = change.version
