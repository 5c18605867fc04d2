"""Rows as text: lines of a table while measuring, and Markdown for the documentation.

python -m benchmarks.report PATH    the Markdown table of a file that a run wrote
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.comparison import Row

HEADER = (
    f"{'question':<12} {'case':<25} {'subject / yardstick':<48} {'subject':>9} {'yardstick':>9} {'unit':<10} "
    f"{'ratio':>6} {'low-high':>13} {'p50 ms':>8} {'p99 ms':>8} {'load':>5} {'server':>6}"
)


def line(row: Row) -> str:
    """One line below ``HEADER``."""
    between = f"{row.low:.3f}-{row.high:.3f}"
    measured = (
        f"{row.question:<12} {row.case:<25} {f'{row.subject} / {row.yardstick}':<48} "
        f"{row.value:>9.0f} {row.yardstick_value:>9.0f} {row.unit:<10} {row.ratio:>6.3f} {between:>13}"
    )
    details = row.details
    if "p50_ms" not in details:
        return measured
    shares = f"{details['load_cpu']:>5.0%} {details['server_cpu']:>6.0%}"
    return f"{measured} {details['p50_ms']:>8.3f} {details['p99_ms']:>8.3f} {shares}"


def markdown(rows: list[Row]) -> str:
    """The table of the documentation."""
    lines = [
        "| question | case | subject | yardstick | ratio | subject p50 | subject p99 |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        ours = f"{row.subject}: {row.value:,.0f} {row.unit}"
        theirs = f"{row.yardstick}: {row.yardstick_value:,.0f}"
        times = [
            f"{row.details[name]:.2f} ms" if name in row.details else "" for name in ("p50_ms", "p99_ms")
        ]
        lines.append(
            f"| {row.question} | {row.case} | {ours} | {theirs} | {row.ratio:.3f} | {' | '.join(times)} |"
        )
    return "\n".join(lines)


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    report = json.loads(Path(sys.argv[1]).read_text())
    print(markdown([Row(**row) for row in report["rows"]]))


if __name__ == "__main__":
    main()
