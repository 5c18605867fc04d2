"""The types of ASGI, the standard interface between Python servers and applications.

The core speaks it where an actor's own code answers HTTP and websockets, so that any framework fits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]  # what the ASGI specification calls an event; keys depend on "type"
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

RawHeaders = list[tuple[bytes, bytes]]
"""Headers as they are sent; names in lower case."""
