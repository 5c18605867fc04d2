"""One line for every fault in the summary: what was done, and the figures."""

from __future__ import annotations

from collections.abc import Callable

import pytest

_FIGURES = "figures"


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Record the figures of a fault; they are shown at the end of the run."""

    def record(**figures: object) -> None:
        shown = {
            name: round(value, 2) if isinstance(value, float) else value for name, value in figures.items()
        }
        record_property(_FIGURES, ", ".join(f"{name} {value}" for name, value in shown.items()))

    return record


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports: list[pytest.TestReport] = [
        *terminalreporter.getreports("passed"),
        *terminalreporter.getreports("failed"),
    ]
    lines = [
        f"{report.nodeid.rpartition('::')[2]}: {value}"
        for report in reports
        for name, value in report.user_properties
        if name == _FIGURES and report.when == "call"
    ]
    if lines:
        terminalreporter.section("faults")
        for line in lines:
            terminalreporter.write_line(line)
