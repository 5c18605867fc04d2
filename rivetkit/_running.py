"""What a program around a registry needs besides it: logs somewhere, and a fast event loop."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Coroutine

_SWITCH_INTERVAL = 0.0005
_TALKATIVE = ("uvicorn", "httpx", "httpcore", "websockets")
"""Libraries that log what they send and receive: URLs with tokens, frames with payloads."""

_FORMAT = "%(levelname)s %(name)s: %(message)s"


def configure_logging(who: str = "") -> None:
    """Log to standard error, at ``RIVET_LOG_LEVEL``, unless the program has set up logging itself.

    Args:
        who: Put in front of every line, for processes that share a terminal.
    """
    if logging.getLogger().handlers:
        return
    level = os.environ.get("RIVET_LOG_LEVEL", "INFO").upper()
    logging.basicConfig(level=level, format=f"{who} {_FORMAT}" if who else _FORMAT)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)


def run_to_end(main: Coroutine[object, object, None]) -> None:
    """Run ``main`` on an event loop made for serving."""
    # The store commits on a thread of its own; with the default of 5 ms it would starve while the event
    # loop is busy, and every strict reply with it.
    sys.setswitchinterval(_SWITCH_INTERVAL)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(main)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not available on Windows
        return None
    return uvloop.new_event_loop
