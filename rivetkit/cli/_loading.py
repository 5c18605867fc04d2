"""From ``package.module:name`` to the registry a program made."""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path

from rivetkit import Registry

DEFAULT_NAME = "registry"


class LoadError(Exception):
    """There is no registry to serve; the message is one line and says what to do.

    Attributes:
        traceback: Where the program itself failed; empty if it did not.
    """

    def __init__(self, message: str, traceback: str = "") -> None:
        super().__init__(message)
        self.traceback = traceback


def load_registry(target: str, directory: Path) -> Registry:
    """Import the module, with ``directory`` first on the path, and return its registry.

    Raises:
        LoadError: The target is not well formed, its module cannot be imported, or has no such registry.
    """
    module_name, _, name = target.partition(":")
    name = name or DEFAULT_NAME
    if not all(part.isidentifier() for part in (*module_name.split("."), *name.split("."))):
        raise LoadError(f"{target!r} is not of the form package.module:name, as in app:registry")
    if not directory.is_dir():
        raise LoadError(f"--app-dir {directory} is not a directory")
    sys.path.insert(0, str(directory.absolute()))
    found = _import(module_name, directory)
    for part in name.split("."):
        if not hasattr(found, part):
            raise LoadError(f"the module {module_name} has no {name}{_hint(found)}")
        found = getattr(found, part)
    if not isinstance(found, Registry):
        raise LoadError(f"{module_name}:{name} is of the type {type(found).__name__}, not a Registry")
    return found


def _import(module_name: str, directory: Path) -> object:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as failure:
        if failure.name is not None and (module_name + ".").startswith(failure.name + "."):
            raise LoadError(
                f"there is no module {module_name} in {directory.absolute()} or on Python's path: "
                f"name another directory with --app-dir"
            ) from None
        raise _broken(module_name, failure) from failure
    except (Exception, SystemExit) as failure:
        raise _broken(module_name, failure) from failure


def _broken(module_name: str, failure: BaseException) -> LoadError:
    reason = f"{type(failure).__name__}: {failure}".splitlines()[0]
    return LoadError(
        f"the module {module_name} cannot be imported ({reason})",
        "".join(traceback.format_exception(failure)),
    )


def _hint(module: object) -> str:
    names = [name for name, value in vars(module).items() if isinstance(value, Registry)]
    return f"; it has {', '.join(names)}" if names else " and no other registry"
