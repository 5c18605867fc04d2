"""The command: asks the questions, prints a table, writes the numbers."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
from dataclasses import asdict
from pathlib import Path

import uvloop

from benchmarks import machine
from benchmarks.comparison import Row, Setup
from benchmarks.questions import QUESTIONS, Question
from benchmarks.report import HEADER, line

_LATEST = Path(__file__).parent / "results" / "latest.json"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three short runs instead of five longer ones")
    parser.add_argument("--only", metavar="NAME", action="append", choices=QUESTIONS, help="may be repeated")
    parser.add_argument("--json", type=Path, default=_LATEST, metavar="PATH", help="where the numbers go")
    parser.add_argument(
        "--profile", type=Path, metavar="DIR", help="sample where our servers spend their time"
    )
    options = parser.parse_args()
    names: list[str] = options.only or list(QUESTIONS)
    found = machine.describe()
    print(f"{found['cpu']}, {found['cores']} cores, {found['kernel']}, Python {found['python']}")
    print(f"{found['date']}, load before: {found['load']:.2f}\n\n{HEADER}")
    rows: list[Row] = []
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for name in names:
            directory = _profiles(options.profile, name)
            rows += runner.run(_ask(QUESTIONS[name], quick=options.quick, profiles=directory))
            _print_profiles(directory)
    found["load_after"] = machine.load()
    print(f"\nload after: {machine.load():.2f}")
    report = {"machine": found, "quick": options.quick, "rows": [asdict(row) for row in rows]}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report, indent=2) + "\n")
    print(f"written to {options.json}")


async def _ask(question: Question, *, quick: bool, profiles: Path | None) -> list[Row]:
    rows: list[Row] = []
    async with contextlib.AsyncExitStack() as stack:
        setup = Setup(0.3 if quick else 1.0, 3 if quick else 5, stack, profiles)
        async for row in question(setup):
            print(line(row), flush=True)
            rows.append(row)
    return rows


def _profiles(parent: Path | None, name: str) -> Path | None:
    if parent is None:
        return None
    (parent / name).mkdir(parents=True, exist_ok=True)
    return parent / name


def _print_profiles(directory: Path | None) -> None:
    for profile in sorted(directory.glob("*.txt")) if directory else ():
        print(f"\n{profile}: {profile.read_text()}")


if __name__ == "__main__":
    main()
