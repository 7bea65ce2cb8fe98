"""Measure side by side and print ratios: python -m benchmarks [--json FILE] [SECTION ...]

The exit status is 1 when a goal was missed. Best on a machine that has nothing else to do.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import deadlines, echo, hostile, idle, imports, parse, picture, websocket_echo
from benchmarks.peers import missing

console = Console() if sys.stdout.isatty() else Console(width=100)


def table(title: str, *columns: str) -> Table:
    made = Table(title=title, title_justify="left", min_width=len(title))
    for number, column in enumerate(columns):
        made.add_column(column, justify="right" if number else "left")
    return made


def met(ratio: float, goal: float, at_most: bool = False) -> tuple[str, bool]:
    """Whether a goal is met, in words."""
    good = ratio <= goal if at_most else ratio >= goal
    return f"{'at most' if at_most else 'at least'} {goal:g}: {'met' if good else 'MISSED'}", good


class Goals:
    """The goals of a section: what was measured, what was wanted, and whether all are met."""

    def __init__(self) -> None:
        self.shown = table("", "what", "measured", "goal")
        self.all_met = True

    def add(self, what: str, value: float, goal: float, at_most: bool = False) -> None:
        words, good = met(value, goal, at_most)
        self.shown.add_row(what, f"{value:.3g}", words)
        self.all_met = self.all_met and good

    def show(self) -> bool:
        console.print(self.shown)
        return self.all_met


def say_who_is_missing(*peers: str) -> None:
    for name in peers:
        if why := missing(name):
            console.print(f"Without {name}: {why}", highlight=False)


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
    if not goals:
        shown.columns.pop()
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


def parse_section() -> tuple[Any, bool]:
    if not find_spec("numba"):
        console.print("Without numba there is no scanner to measure: pip install iomodels[fast]")
        return {}, True
    say_who_is_missing("picows", "aiohttp", "websockets", "wsproto")
    result, allocated = parse.parse(), parse.allocated_per_frame()
    sizes = [*parse.FRAMES]
    shown = table(
        "Parsing: ns per masked frame, by bytes of payload", "parser", *map(picture.size, sizes)
    )
    for name, took in result.items():
        shown.add_row(name, *(f"{took[size]:,.0f}" for size in sizes))
    console.print(shown)
    goals = Goals()
    for size in sizes:
        if "picows" in result:
            ratio = result["ours, a view each"][size] / result["picows"][size]
            goals.add(
                f"{picture.size(size)}: ours, a view each, to picows", ratio, 0.6, at_most=True
            )
    for size in sizes:
        if size >= 16 * 1024:
            rate = size / result["ours, scan in place"][size]
            goals.add(f"{picture.size(size)}: GB/s, scan in place", rate, 20)
    goals.add("bytes that the scan allocates per frame", allocated, 0, at_most=True)
    return {"ns": result, "allocated": allocated}, goals.show()


def websocket_section() -> tuple[Any, bool]:
    say_who_is_missing(*websocket_echo.PEERS)
    result = {n: websocket_echo.websocket_echo(in_flight=n) for n in (1, 32)}
    for n, found in result.items():
        rates(f"WebSocket echo of 100 clients, 64 bytes, {n} in flight", found, {})
    goals, one, many = Goals(), result[1], result[32]
    best = max(one[name] for name in websocket_echo.OURS)
    each, batch = many["ours, scanner, a call each"], many["ours, scanner, batch"]
    goals.add("1 in flight: our best, to the floor", best / one[websocket_echo.FLOOR], 0.7)
    if "picows" in one:
        goals.add("1 in flight: our best, to picows", best / one["picows"], 0.95)
        goals.add("32 in flight: ours, a call each, to picows", each / many["picows"], 7)
        goals.add("32 in flight: ours, batch, to picows", batch / many["picows"], 14)
    if "Go" in many:
        goals.add("32 in flight: ours, batch, to Go", batch / many["Go"], 1)
    return result, goals.show()


def idle_section() -> tuple[Any, bool]:
    say_who_is_missing(*idle.PEERS)
    result = idle.idle()
    title = f"User memory per idle WebSocket, from {idle.FEW:,} to {idle.MANY:,}"
    shown = table(title, "server", "bytes")
    for name, size in result.items():
        shown.add_row(name, idle.words(size))
    console.print(shown)
    goals, ours = Goals(), max(result[name] for name in idle.OURS)
    goals.add("bytes for each of ours", ours, 32, at_most=True)
    if of_go := [size for name, size in result.items() if name.startswith("Go")]:
        goals.add("the leaner Go server, to ours", min(of_go) / ours, 30)
    return result, goals.show()


def deadlines_section() -> tuple[Any, bool]:
    result = deadlines.deadlines()
    title = f"{deadlines.ENTRIES:,} deadlines"
    shown = table(
        title, "", "ns to set", "ns to cancel", "us for a tick, none due", "bytes each",
        f"moved {deadlines.AGAIN} times",
    )  # fmt: skip
    for name, took in result.items():
        shown.add_row(
            name, f"{took['set']:,.0f}", f"{took['cancel']:,.0f}", f"{took['due'] / 1000:,.1f}",
            f"{took['bytes']:,.1f}", f"{took['bytes, moved']:,.1f}",
        )  # fmt: skip
    console.print(shown)
    goals, ours = Goals(), result["a byte each"]
    goals.add("ns to set one of ours", ours["set"], 1000, at_most=True)
    goals.add("ns to cancel one of ours", ours["cancel"], 1000, at_most=True)
    goals.add("bytes for each, beyond the array", ours["bytes, moved"], 0.01, at_most=True)
    return result, goals.show()


def hostile_section() -> tuple[Any, bool]:
    result = hostile.hostile()
    slow, burst, churn = result["slow"], result["burst"], result["churn"]
    shown = table(
        "Bad clients, on the epoll server", "", "honest, p99 in ms", "honest messages lost"
    )
    shown.add_row("nobody else", f"{1000 * slow['alone']:.2f}", "")
    shown.add_row("1,000 slow ones", f"{1000 * slow['beside']:.2f}", f"{slow['lost']}")
    shown.add_row(f"{churn['lives']:,} that are killed", "", f"{churn['honest_lost']}")
    console.print(shown)
    console.print(
        f"Burst of {hostile.BURST:,}: {burst['served']:,} served, {burst['refused']:,} refused, "
        f"{burst['waiting']:,} still waiting after {burst['seconds']:.1f} s. "
        f"Churn: {churn['honest_messages']:,} honest messages; fds {churn['fds']}, "
        f"bytes {churn['bytes']}, before and after.",
        highlight=False,
    )
    goals = Goals()
    goals.add("p99 beside the slow ones, to alone", slow["ratio"], 3, at_most=True)
    goals.add("s after its deadline, the last slow one", slow["latest"], 1, at_most=True)
    goals.add("s after its deadline, the first one", slow["soonest"], 0)
    goals.add("burst: clients lost", burst["waiting"], 0, at_most=True)
    goals.add("burst: fds left over", burst["left"], 0, at_most=True)
    goals.add("churn: fds more than before", churn["fds"][1] - churn["fds"][0], 0, at_most=True)
    growth = (churn["bytes"][1] - churn["bytes"][0]) / 1024
    goals.add("churn: KiB more than before", growth, hostile.GROWTH, at_most=True)
    lost = slow["lost"] + churn["honest_lost"]
    goals.add("honest messages lost", lost, 0, at_most=True)
    return result, goals.show()


SECTIONS: dict[str, Callable[[], tuple[Any, bool]]] = {
    "imports": import_section,
    "seam": seam_section,
    "servers": servers_section,
    "parse": parse_section,
    "websocket": websocket_section,
    "idle": idle_section,
    "deadlines": deadlines_section,
    "hostile": hostile_section,
}


def main() -> int:
    assert __doc__
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.partition("\n\n")[2]
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument(
        "--save", type=Path, metavar="FILE", help="draw parse, websocket and idle: .svg, .png"
    )
    chosen = parser.parse_args()
    if unknown := [name for name in chosen.sections if name not in SECTIONS]:
        parser.error(f"no section named {unknown[0]!r}; there are {', '.join(SECTIONS)}")
    sections = chosen.sections or [*SECTIONS]
    for path in filter(None, (chosen.json, chosen.save)):
        if not path.absolute().parent.is_dir():
            parser.error(f"{path}: there is no such folder")
    if chosen.save and chosen.save.suffix not in (".svg", ".png"):
        parser.error(f"--save {chosen.save}: name a file that ends in .svg or .png")
    if chosen.save and not set(sections) & set(picture.PANELS):
        parser.error(f"--save draws {', '.join(picture.PANELS)}, and none of them is asked for")
    figures, good = {}, True
    try:
        for name in sections:
            figures[name], met_goals = SECTIONS[name]()
            good = good and met_goals
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n")
    if chosen.save and any(figures.get(name) for name in picture.PANELS):
        picture.draw(figures).savefig(chosen.save, dpi=144, facecolor="white")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
