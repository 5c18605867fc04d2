"""Serve the room and its page: ``python -m examples.chat_room [--port 6420] [--data-dir .rivetkit]``.

With ``RIVET_ENDPOINT`` set, the rooms run on that engine and this program serves the page, on port 3000.
"""

import argparse
from pathlib import Path

from examples.chat_room.app import ChatRoom
from examples.chat_room.page import page
from rivetkit import Registry


def main() -> None:
    parser = argparse.ArgumentParser(prog="chat_room", description="A chat room of durable actors.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, help="port to listen on (default: 6420, on an engine 3000)")
    parser.add_argument("--data-dir", type=Path, default=Path(".rivetkit"), help="default: %(default)s")
    options = parser.parse_args()
    registry = Registry(ChatRoom, data_dir=options.data_dir)
    registry.run(host=options.host, port=options.port, app=page)


if __name__ == "__main__":
    main()
