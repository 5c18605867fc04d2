"""How commands talk: results on standard output, failures as one line on standard error and status 1."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import NoReturn

import typer
from rich.console import Console

from rivetkit_core.config import ConfigError
from rivetkit_core.errors import RivetError

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def reported() -> Generator[None]:
    """Turn failures that a user can do something about into a line that says what, and status 1."""
    try:
        yield
    except RivetError as failure:
        fail(failure.message)
    except ConfigError as failure:
        fail(str(failure))


def fail(message: str) -> NoReturn:
    """Print why and end with status 1."""
    err.print(f"rivetkit: {message}", markup=False)
    raise typer.Exit(1)
