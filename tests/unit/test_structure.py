"""The shape of the code: what imports what, who may read time, how long a piece may be."""

from __future__ import annotations

import ast
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

import rivetkit

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("rivetkit", "rivetkit_core")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
GENERATED = {"rivetkit_core/_catalogue.py"}

_DOORS = {"rivetkit_core/clock.py", "rivetkit_core/entropy.py"}
_TIME_AND_CHANCE = {
    "time.time",
    "time.time_ns",
    "time.monotonic",
    "time.monotonic_ns",
    "time.perf_counter",
    "time.sleep",
    "asyncio.sleep",
    "anyio.sleep",
    "uuid.uuid1",
    "uuid.uuid4",
    "os.urandom",
}
_FORBIDDEN_MODULES = {"random", "secrets"}
_FORBIDDEN_METHODS = {"call_later", "call_at", "utcnow"}
_MODULE_LINES, _FUNCTION_LINES = 400, 60


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def imported(tree: ast.Module) -> Iterator[str]:
    """Dotted names of everything a module imports, wherever it does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def clock_reads(tree: ast.Module) -> Iterator[str]:
    """Uses of time and chance that bypass their ports."""
    for name in imported(tree):
        if name in _TIME_AND_CHANCE or name.partition(".")[0] in _FORBIDDEN_MODULES:
            yield name
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        dotted = ast.unparse(node)
        receiver = ast.unparse(node.value).lower()
        reads_wall_clock = dotted.endswith(("datetime.now", "dt.now", "date.today"))
        sets_timer = node.attr in _FORBIDDEN_METHODS and "clock" not in receiver
        if dotted in _TIME_AND_CHANCE or reads_wall_clock or sets_timer:
            yield dotted


def test_imports_go_down() -> None:
    linter = Path(sys.executable).parent / "lint-imports"
    run = subprocess.run([linter], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("source", ["import time\ntime.time()", "import datetime\ndatetime.datetime.now()"])
def test_reading_the_clock_is_noticed(source: str) -> None:
    assert list(clock_reads(ast.parse(source)))


def test_time_and_chance_come_through_their_ports() -> None:
    offenders = {
        name_of(path): reads
        for path in MODULES
        if name_of(path) not in _DOORS
        and not name_of(path).startswith("rivetkit_core/testing/")
        and (reads := sorted(clock_reads(parsed(path))))
    }
    assert offenders == {}


def test_modules_are_short() -> None:
    lengths = {
        name_of(path): len(path.read_text().splitlines())
        for path in MODULES
        if name_of(path) not in GENERATED
    }
    assert {name: length for name, length in lengths.items() if length > _MODULE_LINES} == {}


def test_functions_are_short() -> None:
    long: dict[str, int] = {}
    for path in MODULES:
        for node in ast.walk(parsed(path)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.end_lineno is None:
                continue
            length = node.end_lineno - node.lineno + 1
            if length > _FUNCTION_LINES:
                long[f"{name_of(path)}:{node.name}"] = length
    assert long == {}


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        name_of(path) for path in MODULES if path.read_text().strip() and not ast.get_docstring(parsed(path))
    ]
    assert silent == []


def test_the_core_knows_no_pydantic() -> None:
    offenders = [
        name_of(path)
        for path in MODULES
        if path.is_relative_to(ROOT / "rivetkit_core")
        and any(name.partition(".")[0].startswith("pydantic") for name in imported(parsed(path)))
    ]
    assert offenders == []


def test_the_codecs_never_wait() -> None:
    waits = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    offenders = [
        name_of(path)
        for path in (ROOT / "rivetkit_core" / "wire").rglob("*.py")
        if any(isinstance(node, waits) for node in ast.walk(parsed(path)))
        or {"asyncio", "anyio"} & set(imported(parsed(path)))
    ]
    assert offenders == []


def test_the_error_catalogue_is_up_to_date() -> None:
    script = ROOT / "scripts" / "generate_errors.py"
    run = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout


def test_the_public_surface_is_what_is_exported() -> None:
    public = {
        name
        for name, value in vars(rivetkit).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType) and name != "annotations"
    }
    assert set(rivetkit.__all__) == public
    assert rivetkit.__all__ == sorted(set(rivetkit.__all__))
