"""What holds for every test, and how many cases of the matrix were run."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings

# Nothing is timed: on a busy machine any example may take long, and that says nothing about it.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    ran = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, ())
        if "tests/servers/test_matrix.py" in getattr(report, "nodeid", "")
    ]
    if ran:
        terminalreporter.write_line(
            f"Servers and faults: {len(ran)} cases were run, a hundred clients in each"
        )
