"""The root of everything a client may talk to. Knows nothing, so that every declaration can refer to it."""

from __future__ import annotations


class Contract:
    """What the outside world may ask of an actor: actions and events, with no implementation.

    Write a contract for clients that do not have the actor's code; bodies raise ``NotImplementedError``.
    An actor that also inherits from its contract cannot drift from it without a type error. The class is
    deliberately empty, so that completion on a stub offers only what the contract declares.
    """
