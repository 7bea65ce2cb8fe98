"""Measure side by side and print ratios: python -m benchmarks [--json FILE] [SECTION ...]

The exit status is 1 when a goal was missed. Best on a machine that has nothing else to do.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import echo, imports

console = Console() if sys.stdout.isatty() else Console(width=100)


def table(title: str, *columns: str) -> Table:
    made = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        made.add_column(column, justify="right" if number else "left")
    return made


def met(ratio: float, goal: float, at_most: bool = False) -> tuple[str, bool]:
    """Whether a goal is met, in words."""
    good = ratio <= goal if at_most else ratio >= goal
    return f"{'at most' if at_most else 'at least'} {goal:g}: {'met' if good else 'MISSED'}", good


def import_section() -> tuple[Any, bool]:
    result = imports.imports()
    shown = table("What an import adds to Python's start", "module", "ms", "goal")
    words, good = met(result["iomodels"], 50, at_most=True)
    for module, took in result.items():
        shown.add_row(module, f"{took:.1f}", words if module == "iomodels" else "")
    console.print(shown)
    return result, good


def rates(title: str, result: dict[str, float], goals: dict[str, float]) -> bool:
    """Print rates, and their ratios to the first one; tell whether all goals are met."""
    shown = table(title, "server", "messages/s", "ratio", "goal")
    floor, all_good = next(iter(result.values())), True
    for name, rate in result.items():
        words, good = met(rate / floor, goals[name]) if name in goals else ("", True)
        shown.add_row(name, f"{rate:,.0f}", f"{rate / floor:.3f}", words)
        all_good = all_good and good
    console.print(shown)
    return all_good


def seam_section() -> tuple[Any, bool]:
    result = echo.seam()
    good = rates("The seam: one epoll loop, twice", result, {"through the seam": 0.97})
    return result, good


def servers_section() -> tuple[Any, bool]:
    result = {n: echo.servers(in_flight=n) for n in (1, 32)}
    for n, found in result.items():
        rates(f"Echo of 100 clients, 64 bytes, {n} in flight", found, {})
    return result, True


SECTIONS: dict[str, Callable[[], tuple[Any, bool]]] = {
    "imports": import_section,
    "seam": seam_section,
    "servers": servers_section,
}


def main() -> int:
    assert __doc__
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.partition("\n\n")[2]
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    chosen = parser.parse_args()
    if unknown := [name for name in chosen.sections if name not in SECTIONS]:
        parser.error(f"no section named {unknown[0]!r}; there are {', '.join(SECTIONS)}")
    figures, good = {}, True
    try:
        for name in chosen.sections or SECTIONS:
            figures[name], met_goals = SECTIONS[name]()
            good = good and met_goals
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
