"""Puts the groups of commands together."""

from __future__ import annotations

import typer

from rivetkit.cli import _engine

app = typer.Typer(
    help="Durable actors in Python.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(_engine.app, name="engine")


@app.callback()
def rivetkit() -> None:
    """Durable actors in Python."""
