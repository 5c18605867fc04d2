"""``python -m rivetkit.cli``, for where scripts are not on PATH."""

from __future__ import annotations

from rivetkit.cli import main

if __name__ == "__main__":
    main()
