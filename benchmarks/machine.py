"""Which machine the numbers are from, and how busy it was."""

from __future__ import annotations

import datetime
import os
import platform
import sqlite3
from importlib.metadata import version
from pathlib import Path

_LIBRARIES = ("rivetkit", "pydantic", "cbor2", "uvicorn", "uvloop", "httptools", "websockets")


def describe() -> dict[str, object]:
    """Name the machine; the date is the system's."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "libraries": {name: _version(name) for name in _LIBRARIES},
        "load": load(),
    }


def load() -> float:
    """Processes that were running or waiting for a core, averaged over the last minute."""
    return os.getloadavg()[0]


def _version(name: str) -> str:
    try:
        return version(name)
    except ModuleNotFoundError:
        return "from the source tree"


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
