"""One process per data directory, held by an operating system lock that dies with the process."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rivetkit_core.errors import RivetError, error

if sys.platform == "win32":
    import msvcrt

    # Locked bytes are unreadable for others on Windows, so lock one far behind the holder's pid.
    _LOCKED_BYTE = 1 << 30

    def _try_lock(descriptor: int) -> None:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)

else:
    import fcntl

    def _try_lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class DirectoryLock:
    """The lock file of a data directory; it stays behind, empty, when released."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock or fail at once.

        Raises:
            StorageError: ``storage.locked``; path and pid of the holder are in message and metadata.
            OSError: The lock file cannot be made.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _try_lock(descriptor)
        except OSError as failure:
            holder = os.pread(descriptor, 20, 0) if sys.platform != "win32" else os.read(descriptor, 20)
            os.close(descriptor)
            raise self._locked(holder) from failure
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        self._descriptor = descriptor

    def release(self) -> None:
        """Let go; harmless when not held."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def _locked(self, holder: bytes) -> RivetError:
        pid = holder.decode("ascii", "replace").strip() or "unknown"
        directory = self._path.parent
        message = (
            f"Process {pid} uses the data directory {directory}; stop it, or give this one its own directory"
        )
        return error("storage.locked", message, path=str(directory), pid=pid)
