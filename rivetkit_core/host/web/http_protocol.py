"""uvicorn's HTTP protocol with a limit it lacks: how much head a peer may send before a request is one.

The parser keeps an unfinished head in memory, so without a limit one connection could fill it.
"""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 1024 * 1024
"""Bytes of request line and headers together. Connection parameters and inputs travel there."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """Answers 400 and closes once a request's head exceeds ``MAX_HEAD``."""

    _head_bytes = 0
    _in_head = True

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD:
                self.send_400_response(f"The request head exceeds {MAX_HEAD} bytes.")
                return
        super().data_received(data)

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        super().on_message_complete()
