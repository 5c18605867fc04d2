"""Stands in for the engine's program: answers /health and /metadata, and fails as it is told.

``FAKE_ENGINE`` in its environment is a comma separated list of: ``exits`` (at once, with a word on standard
error), ``silent`` (listens, answers nothing), ``deaf`` (ignores SIGTERM), ``version=...``. Every start
appends a line to ``starts`` in its data folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

_SCRIPT = """#!{python} -IS
import os, signal, socket, sys
env = os.environ
told = env.get("FAKE_ENGINE", "").split(",")
assert sys.argv[1:] == ["start"], sys.argv
with open(os.path.join(env["RIVET__FILE_SYSTEM__PATH"], "starts"), "a") as starts:
    starts.write("start\\n")
if "exits" in told:
    sys.exit("the disk is on fire")
if "deaf" in told:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
version = next((word[8:] for word in told if word.startswith("version=")), "{version}")
body = b'{{"runtime":"engine","status":"ok","version":"%s","envoy_protocol_version":8}}' % version.encode()
answer = b"HTTP/1.1 200 OK\\r\\ncontent-type: application/json\\r\\nconnection: close\\r\\n"
answer += b"content-length: %d\\r\\n\\r\\n" % len(body) + body
listener = socket.create_server((env["RIVET__GUARD__HOST"], int(env["RIVET__GUARD__PORT"])))
while True:
    peer, _ = listener.accept()
    if "silent" not in told:
        peer.recv(65536)
        peer.sendall(answer)
        peer.close()
"""


def fake_engine(folder: Path, version: str) -> Path:
    """Write the program and return its path."""
    program = folder / "rivet-engine"
    program.write_text(_SCRIPT.format(python=sys.executable, version=version))
    program.chmod(0o755)
    return program
