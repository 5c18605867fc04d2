"""The command ``rivetkit``. It needs the extra ``cli``; without it, it says so and ends."""

from __future__ import annotations

import importlib.util
import sys


def main() -> None:
    """Run the command line of this process."""
    if any(importlib.util.find_spec(name) is None for name in ("typer", "rich")):
        print("rivetkit: the command needs more packages: pip install 'rivetkit[cli]'", file=sys.stderr)
        raise SystemExit(1)
    from rivetkit.cli._app import app

    app(prog_name="rivetkit")
