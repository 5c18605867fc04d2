"""An event loop in a thread of its own, for callers that block."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from typing import Any, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from rivetkit_core.errors import error

T = TypeVar("T")


class Portal:
    """Runs coroutines from any thread. The loop starts with the first one and ends with ``close``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None
        self._closed = False

    @property
    def closed(self) -> bool:
        return self._closed

    def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Block until ``work`` is done. An exception that interrupts the wait, Ctrl-C, cancels the work.

        Raises:
            RivetError: ``client.disposed`` after ``close``.
        """
        future = self._started().start_task_soon(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Let what runs finish and end the thread. Idempotent."""
        with self._lock:
            self._closed = True
            self._portal = None
            stack, self._stack = self._stack, ExitStack()
        stack.close()

    def _started(self) -> BlockingPortal:
        with self._lock:
            if self._closed:
                raise error("client.disposed")
            if self._portal is None:
                starting = start_blocking_portal("asyncio", name="rivetkit client")
                self._portal = self._stack.enter_context(starting)
            return self._portal
