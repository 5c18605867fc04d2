"""Puts the groups of commands together."""

from __future__ import annotations

import typer

from rivetkit.cli import _engine
from rivetkit.cli._serve import serve_command

app = typer.Typer(
    help="Durable actors in Python.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("serve")(serve_command)
app.add_typer(_engine.app, name="engine")


@app.callback()
def rivetkit() -> None:
    """Durable actors in Python."""
