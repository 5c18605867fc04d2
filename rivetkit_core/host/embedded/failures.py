"""Turns what SQLite and the operating system say into ``StorageError`` with one line of advice.

Texts made here can reach clients, so they carry no path; paths belong to ``open`` errors and the log.
"""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

from rivetkit_core.errors import RivetError, StorageError, error

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def unavailable(failure: sqlite3.Error | OSError) -> StorageError:
    """``storage.unavailable``, saying what to do about ``failure``."""
    return StorageError("storage", "unavailable", _advice(failure))


def closed() -> StorageError:
    """``storage.unavailable`` for a call before ``open`` or after ``close``."""
    return StorageError("storage", "unavailable", "The store is not open")


def cannot_open(path: Path, failure: sqlite3.Error | OSError) -> RivetError:
    """``storage.unavailable`` or ``storage.corrupt`` for a path that could not be opened."""
    if isinstance(failure, sqlite3.Error) and _primary_code(failure) in _DAMAGED:
        return corrupt(path, str(failure))
    return StorageError("storage", "unavailable", f"Cannot use {path}: {_advice(failure)}")


def corrupt(path: Path, reason: str) -> RivetError:
    """``storage.corrupt``, with the file and the first thing found wrong."""
    return error("storage.corrupt", path=str(path), reason=f"{path}: {reason}")


def _advice(failure: sqlite3.Error | OSError) -> str:
    if isinstance(failure, OSError):
        if failure.errno in _FULL:
            return _say("The disk is full", "free some space; writing is tried again", failure)
        if failure.errno in _DENIED:
            return _say("Permission denied", "make it writable for this user", failure)
        return _say("The disk cannot be used", "check the path and the file system", failure)
    match _primary_code(failure):
        case sqlite3.SQLITE_FULL:
            return _say("The disk is full", "free some space; writing is tried again", failure)
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_CANTOPEN:
            return _say("The data file cannot be written", "make it writable for this user", failure)
        case sqlite3.SQLITE_IOERR:
            return _say("Reading or writing the disk failed", "check its free space and health", failure)
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return _say("Another program holds the data file", "close it", failure)
        case sqlite3.SQLITE_TOOBIG:
            return _say("The record is too large for the data file", "store less in one record", failure)
        case code if code in _DAMAGED:
            return _say("The data file is damaged", "stop, and restore a backup", failure)
        case _:
            return _say("The data file cannot be used", "see the server's log", failure)


def _say(what: str, advice: str, failure: sqlite3.Error | OSError) -> str:
    detail = failure.strerror if isinstance(failure, OSError) else str(failure)
    return f"{what}; {advice} ({detail or type(failure).__name__})"


def _primary_code(failure: sqlite3.Error) -> int | None:
    # Errors that the sqlite3 module raises on its own account carry no code.
    code: int | None = getattr(failure, "sqlite_errorcode", None)
    if code is None:
        return sqlite3.SQLITE_TOOBIG if isinstance(failure, sqlite3.DataError) else None
    return code & 0xFF
