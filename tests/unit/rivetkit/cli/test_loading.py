from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rivetkit.cli._loading import LoadError, load_registry

PROGRAM = """
from rivetkit import Actor, Registry
class Note(Actor): ...
class holder:
    registry = Registry(Note)
registry = Registry(Note)
other = Registry(Note)
number = 1
"""


@pytest.fixture(autouse=True)
def clean_imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    known = set(sys.modules)
    yield
    for name in set(sys.modules) - known:
        del sys.modules[name]


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (tmp_path / "served_program.py").write_text(PROGRAM)
    return tmp_path


@pytest.mark.parametrize("name", ["", ":registry", ":other", ":holder.registry"])
def test_a_registry_is_found(program: Path, name: str) -> None:
    assert load_registry(f"served_program{name}", program).actor_names == ("note",)


@pytest.mark.parametrize("target", ["", ":registry", "app.py:registry:x", "./app.py", "app:a b", "a-b"])
def test_what_is_not_a_target_is_refused_with_an_example(program: Path, target: str) -> None:
    with pytest.raises(LoadError, match="app:registry"):
        load_registry(target, program)


def test_a_missing_module_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="--app-dir") as refused:
        load_registry("no_such_program", tmp_path)
    assert str(tmp_path) in str(refused.value)
    assert refused.value.traceback == ""


def test_a_missing_name_shows_the_registries_there_are(program: Path) -> None:
    with pytest.raises(LoadError, match="it has registry, other"):
        load_registry("served_program:wrong", program)


def test_something_else_is_no_registry(program: Path) -> None:
    with pytest.raises(LoadError, match="of the type int, not a Registry"):
        load_registry("served_program:number", program)


@pytest.mark.parametrize("line", ["1 / 0", "import no_such_dependency", "raise SystemExit(3)", "x ="])
def test_a_program_that_fails_shows_where(tmp_path: Path, line: str) -> None:
    (tmp_path / "broken_program.py").write_text(f"{line}\n")
    with pytest.raises(LoadError, match="broken_program cannot be imported") as refused:
        load_registry("broken_program", tmp_path)
    assert "broken_program.py" in refused.value.traceback


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="nowhere"):
        load_registry("app", tmp_path / "nowhere")
