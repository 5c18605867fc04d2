"""One process per data directory; the operating system holds the lock, so a killed holder leaves none."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rivetkit_core.errors import error


class DirectoryLock:
    """An exclusive lock on a file, which also names its holder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock or fail at once.

        Raises:
            StorageError: ``storage.locked``, naming the directory and the process that holds it.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(descriptor)
        except OSError:
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip()
            os.close(descriptor)
            where = str(self._path.parent)
            by = f" (process {holder})" if holder else ""
            message = (
                f"another process{by} uses the data directory {where}: stop it, or choose another data_dir"
            )
            raise error("storage.locked", message, path=where, pid=holder) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back. Idempotent."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
