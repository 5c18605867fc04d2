"""Serves the actors of ``app.py`` where the environment says: ``python -m tests.interop.serve --ready-fd F``.

Writes one byte to the file descriptor ``F`` once it has taken up work. SIGTERM stops it. In this process they
are served with ``--port N --data-dir D``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from pathlib import Path

from rivetkit import Registry
from tests.interop.app import ACTORS
from tests.interop.server import HOST


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--ready-fd", type=int, required=True)
    options = parser.parse_args()

    def announce(url: str) -> None:
        os.write(options.ready_fd, b"1")
        os.close(options.ready_fd)

    registry = Registry(*ACTORS, data_dir=options.data_dir)
    serving = registry.serve(host=HOST, port=options.port, handle_signals=True, on_ready=announce)
    asyncio.run(serving)


if __name__ == "__main__":
    main()
