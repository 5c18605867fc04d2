"""Forks programs that it has imported already: ``python -m tests.crash.nursery SOCKET MODULE...``.

Importing is most of what a start costs. Every message on the socket (a file descriptor) is a JSON list, a
module and the arguments of its ``main``, with the descriptor of its standard output; the answer is the
process's id.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import sys
import traceback

_LONGEST = 65_536


def main() -> None:
    """Serve until the other side closes the socket."""
    requests = socket.socket(fileno=int(sys.argv[1]))
    for module in sys.argv[2:]:
        importlib.import_module(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how they ended
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, _LONGEST, 1)
        if not message:
            return
        [output] = descriptors
        process = os.fork()
        if process == 0:
            requests.close()
            _become(output, *json.loads(message))
        os.close(output)
        requests.send(str(process).encode())


def _become(output: int, module: str, *arguments: str) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(output, sys.stdout.fileno())
    os.close(output)
    sys.argv = [module, *arguments]
    try:
        sys.modules[module].main()
    except Exception:  # noqa: BLE001 - it ends here, in the copy of a process that goes on
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main()
