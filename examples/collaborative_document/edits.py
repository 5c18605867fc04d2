"""Edits of a text, and what becomes of one when others came first: knows nothing of actors."""

from pydantic import BaseModel, Field


class Edit(BaseModel):
    """Replace ``removed`` characters at ``position`` by ``inserted``."""

    position: int = Field(ge=0)
    removed: int = Field(default=0, ge=0)
    inserted: str = ""

    @property
    def end(self) -> int:
        return self.position + self.removed

    def apply(self, text: str) -> str:
        return text[: self.position] + self.inserted + text[self.end :]

    def fits(self, text: str) -> bool:
        return self.end <= len(text)

    def after(self, earlier: "Edit") -> "Edit":
        """The same intention in a text to which ``earlier``, made at the same time, was applied first."""
        start, end = earlier.moved(self.position), earlier.moved(self.end, is_end=True)
        return Edit(position=start, removed=max(end - start, 0), inserted=self.inserted)

    def moved(self, place: int, *, is_end: bool = False) -> int:
        """Where a place in the text is after this edit; what comes at the end of a range is not in it."""
        if place < self.position or (is_end and place == self.position):
            return place
        if place >= self.end:
            return place - self.removed + len(self.inserted)
        return self.position if is_end else self.position + len(self.inserted)
