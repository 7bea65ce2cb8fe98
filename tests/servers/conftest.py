"""Says how many cases of the matrix were run."""

from __future__ import annotations

from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, ())
        if "servers/test_matrix.py" in getattr(report, "nodeid", "")
    ]
    if reports:
        terminalreporter.write_line(
            f"matrix of servers and faults: {len(reports)} cases, a hundred clients each"
        )
