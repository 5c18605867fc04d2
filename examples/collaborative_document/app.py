"""One actor per document puts everybody's edits into one order, and tells all who are connected.

An editor sends an edit with the version it was made in. Edits that came in between are allowed for, so nobody
has to wait for anybody, and all who apply the edits in the order of their versions have the same text.

When nobody writes the actor sleeps, and everybody stays connected.

Run it with ``python -m examples.collaborative_document``; the client beside it writes with two pens.
"""

from pydantic import BaseModel, Field

from examples.collaborative_document.edits import Edit
from rivetkit import Actor, Conn, Event, Registry, UserError, action, actor

KEPT_EDITS = 500
MAX_LENGTH = 100_000


class Author(BaseModel):
    """Connection parameters: who is calling."""

    name: str = Field(min_length=1, max_length=40)


class Change(BaseModel):
    """An edit in its place: it leads to ``version``. ``id`` is its editor's."""

    id: str
    version: int
    author: str
    edit: Edit


class Snapshot(BaseModel):
    version: int
    text: str


class DocumentState(BaseModel):
    version: int = 0
    text: str = ""
    changes: list[Change] = []


@actor(name="document", durability="strict", sleep_timeout=10.0)
class Document(Actor):
    """``strict``: what others have seen of an edit survives a crash."""

    state: DocumentState
    conn: Conn[Author, None]

    changed = Event[Change]()
    people = Event[list[str]]()

    async def on_connect(self, conn: Conn[Author, None]) -> None:
        self.people.broadcast(self.names())

    async def on_disconnect(self, conn: Conn[Author, None]) -> None:
        self.people.broadcast(self.names())

    @action
    def read(self) -> Snapshot:
        return Snapshot(version=self.state.version, text=self.state.text)

    @action
    def since(self, version: int) -> list[Change]:
        """What came after a version, for somebody who was away."""
        known = self.state.version - len(self.state.changes)
        if not known <= version <= self.state.version:
            raise UserError("that is too long ago: read the document again", code="unknown_version")
        return self.state.changes[version - known :]

    @action
    async def edit(self, id: str, version: int, edit: Edit) -> Change:
        """Edit the text as it was in a version; returns what became of the edit.

        An edit is made once, however often it comes: whoever got no answer may ask again, and what an actor
        may not have handled before a crash is delivered again.
        """
        for earlier in self.since(version):
            if earlier.id == id:
                return earlier
            edit = edit.after(earlier.edit)
        if not edit.fits(self.state.text):
            raise UserError("that is beyond the end of the text", code="out_of_range")
        text = edit.apply(self.state.text)
        if len(text) > MAX_LENGTH:
            raise UserError(f"a document has at most {MAX_LENGTH} characters", code="too_long")
        self.state.text = text
        self.state.version += 1
        change = Change(id=id, version=self.state.version, author=self.conn.params.name, edit=edit)
        self.state.changes.append(change)
        del self.state.changes[:-KEPT_EDITS]
        self.changed.broadcast(change)
        return change

    def names(self) -> list[str]:
        return sorted({conn.params.name for conn in self.ctx.conns if isinstance(conn.params, Author)})


registry = Registry(Document)
