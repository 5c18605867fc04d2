"""Types are part of the public API, so they have tests: pyright reports the marked lines and no others."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CASES = Path(__file__).parent / "cases"
LEAST_NEGATIVE_CASES = 79

Place = tuple[str, int]


def marked() -> set[Place]:
    """Lines that end in ``# E: why``; each must be an error."""
    return {
        (path.name, number)
        for path in CASES.glob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if "# E: " in line
    }


def reported() -> dict[Place, str]:
    """What pyright finds in the cases."""
    interpreter = ["--pythonpath", sys.executable]
    command = [sys.executable, "-m", "pyright", "--outputjson", *interpreter, "--project", str(CASES)]
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found: list[dict[str, Any]] = json.loads(output)["generalDiagnostics"]
    return {
        (Path(entry["file"]).name, entry["range"]["start"]["line"] + 1): entry["message"]
        for entry in found
        if entry["severity"] == "error"
    }


@pytest.mark.timeout(300)
def test_pyright_reports_exactly_the_marked_lines() -> None:
    expected, found = marked(), reported()
    missed = sorted(expected - set(found))
    extra = [
        f"{name}:{line}: {why}" for (name, line), why in sorted(found.items()) if (name, line) not in expected
    ]
    assert (missed, extra) == ([], [])


def test_there_are_many_negative_cases() -> None:
    assert len(marked()) >= LEAST_NEGATIVE_CASES
