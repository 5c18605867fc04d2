"""Yes or no from author code, where anything else would be taken for the wrong one."""

from __future__ import annotations


def verdict(answer: object, asked: str) -> bool:
    """The answer of an access hook or a predicate.

    Raises:
        TypeError: It is neither True nor False; a forgotten ``await`` or ``return`` must not open a door.
    """
    if isinstance(answer, bool):
        return answer
    raise TypeError(f"{asked} has to return True or False, not {type(answer).__name__}")
