"""Serves the actors of ``app.py``: ``python -m tests.interop.serve --port N --data-dir D --ready-fd F``.

Writes one byte to the file descriptor ``F`` and closes it once the port accepts connections.
"""

from __future__ import annotations

import argparse
import os
import socket
import threading

from tests.interop.app import registry
from tests.interop.server import HOST

_BETWEEN_ATTEMPTS = 0.01


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--ready-fd", type=int, required=True)
    options = parser.parse_args()
    announcer = threading.Thread(target=_announce, args=(options.port, options.ready_fd), daemon=True)
    announcer.start()
    registry.run(host=HOST, port=options.port, data_dir=options.data_dir)


def _announce(port: int, ready_fd: int) -> None:
    pause = threading.Event()
    while not _accepts(port):
        pause.wait(_BETWEEN_ATTEMPTS)
    os.write(ready_fd, b"1")
    os.close(ready_fd)


def _accepts(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1.0).close()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
