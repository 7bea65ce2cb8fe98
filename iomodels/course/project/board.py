"""The board: the class's results, a small file for each learner in a folder that all can reach.

    board.add("Ann", score(serve), folder)
    board.show(folder, beside={"epoll": score_of_model("epoll")})

There is no network in it. A teacher collects the files, in a shared folder or through nbgrader's
exchange; `show` looks into the folder and the folders in it. A file that is no score gets one line
that says why, and is passed over. What a file says is believed: the tests, and not the board, find
out what a server can do.
"""

from __future__ import annotations

import contextlib
import html
import json
import math
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iomodels.course import checking
from iomodels.course.project.scores import Score
from iomodels.views import style
from iomodels.views.style import number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WHAT = "a score of the iomodels chat"
LARGEST = 64 * 1024  # bytes of a file
LONGEST_NAME = 40  # characters
BARS = 20  # of the best, on the chart
NUMBERS = ("passed", "held", "wanted", "room", "speakers")  # whole ones
TEXTS = ("machine", "note")


class NoScore(Exception):
    """A file is not a score; the text says why, in one line."""


@dataclass(frozen=True)
class Entry:
    """A line of the board."""

    name: str
    score: Score
    guest: bool = False  # it stands beside the class's, for comparison

    @property
    def rank(self) -> tuple[int, int, float]:
        """The larger, the better: the tests count first, then the users, then the speed."""
        return self.score.passed, self.score.held, self.score.rate


def add(name: str, score: Score, folder: str | Path = "board") -> Path:
    """Write a learner's result into the folder, which is made if need be; return the file.

    A second result under the same name takes the first one's place. Raises ValueError for a name
    that is empty, longer than 40 characters, or not visible.
    """
    name = named(name)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    plain = "".join(c if c.isalnum() else "-" for c in name.lower()).strip("-") or "score"
    path, count = folder / f"{plain}.json", 1
    while path.exists() and not _is_of(path, name):  # somebody whose name is spelt nearly the same
        count += 1
        path = folder / f"{plain}-{count}.json"
    kept = {"what": WHAT, "name": name, "date": f"{date.today()}", "score": asdict(score)}
    # Written beside its place and renamed, so that nobody who looks sees half of it.
    with tempfile.NamedTemporaryFile("w", dir=folder, prefix=".", delete=False) as file:
        json.dump(kept, file, indent=1, ensure_ascii=False)
        file.write("\n")
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)
    return path


def named(name: object) -> str:
    """A name as it may stand on the board. Raises ValueError."""
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise ValueError(f"a name has 1 to {LONGEST_NAME} characters, all of them visible")
    if len(name.strip()) > LONGEST_NAME:
        raise ValueError(f"a name has at most {LONGEST_NAME} characters; this has {len(name)}")
    return name.strip()


def _is_of(path: Path, name: str) -> bool:
    with contextlib.suppress(NoScore):
        return read_file(path).name == name
    return False


def read(folder: str | Path) -> tuple[list[Entry], list[str]]:
    """The entries in a folder and below it, best first; and a line for each file that is none."""
    entries, problems = [], []
    folder = Path(folder)
    for path in files(folder):
        try:
            entries.append(read_file(path))
        except NoScore as why:
            problems.append(f"{path.relative_to(folder)}: {why}")
    return sorted(entries, key=lambda entry: entry.rank, reverse=True), problems


def files(folder: Path) -> Iterator[Path]:
    """The files in a folder and below it, in order, hidden ones left out."""
    for above, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name[0] != ".")
        yield from (Path(above, name) for name in sorted(names) if name[0] != ".")


def read_file(path: Path) -> Entry:
    """Read one file. Raises NoScore."""
    if path.suffix != ".json":
        raise NoScore("not a score: its name does not end in .json")
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):  # a pipe, say, from which a read would not return
            raise NoScore("not a score: it is not a regular file")
        if about.st_size > LARGEST:
            raise NoScore(f"not a score: it has {about.st_size:,} bytes")
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NoScore(f"it cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):  # neither JSON nor UTF-8
        raise NoScore("not a score: it is not JSON") from None
    if not isinstance(found, dict) or found.get("what") != WHAT:
        raise NoScore(f'not a score: it does not say "what": "{WHAT}"')
    try:
        return Entry(named(found.get("name")), score_of(found.get("score")))
    except ValueError as error:
        raise NoScore(str(error)) from None


def score_of(found: Any) -> Score:
    """A Score out of JSON. Raises ValueError for what cannot be one."""
    if not isinstance(found, dict) or set(found) != {field.name for field in fields(Score)}:
        raise ValueError("its score has not the figures that a score has")
    for name, value in found.items():
        if name in TEXTS:
            right = isinstance(value, str) and len(value) < 1000
        elif value is None:
            right = name in ("memory", "cpu", "calls")
        else:
            whole = isinstance(value, int) and not isinstance(value, bool)
            right = whole or (name not in NUMBERS and isinstance(value, float))
            right = right and math.isfinite(value) and 0 <= value < 1e12
        if not right:
            raise ValueError(f"its {name} is {str(value)[:40]!r}, and that cannot be")
    score = Score(**found)
    if score.passed > score.tests:
        raise ValueError(f"its passed is {score.passed}, and there are {score.tests} tests")
    return score


# --- the picture ---

COLUMNS = (
    "", "name", "tests", "users held", "delivered/s", "p99", "bytes a user", "CPU", "calls",
)  # fmt: skip
NOTE = (
    "delivered/s: a message that 200 users hear counts as 200. p99: milliseconds until everybody "
    "in the room had heard a round. CPU: the server's, µs for each message delivered; calls: "
    "system calls for each. Figures compare within one machine."
)
_SHEET = """
.iomodels table.io-board { width: 100%; max-width: 860px; margin: 6px 0; font-size: 14px;
  table-layout: auto; border-collapse: collapse; color: var(--io-ink); }
.iomodels table.io-board tr { background: none; }
.iomodels table.io-board th, .iomodels table.io-board td { padding: 5px 8px; border: 0;
  border-bottom: 1px solid var(--io-line); }
.iomodels .io-board td:nth-child(2) { min-width: 12em; white-space: normal; }
.iomodels table.io-board thead th { font-size: 12px; color: var(--io-dim); }
.iomodels .io-board .io-guest { color: var(--io-dim); font-style: italic; }
.iomodels .io-note-board { max-width: 860px; font-size: 13px; color: var(--io-dim); }
"""


def show(folder: str | Path = "board", *, beside: Mapping[str, Score] | None = None) -> None:
    """Show all results in a folder, best first, as a table and a chart.

    `beside` are others to compare with, by name: they stand among them, without a place.
    """
    entries, problems = read(folder)
    guests = [Entry(name, score, guest=True) for name, score in (beside or {}).items()]
    rows = sorted([*entries, *guests], key=lambda entry: entry.rank, reverse=True)
    if not rows:
        problems.insert(0, "nobody is on the board yet")
    if not checking.in_ipython():
        print("\n".join([*map(_line, places(rows)), *problems]))
        return
    said = "".join(f'<p class="io-note-board">{html.escape(line)}</p>' for line in problems)
    style.output(style.measured(_table(rows) + said), "<board>", _SHEET)
    if rows:
        style.show(draw(rows), alt(rows))


def places(rows: Sequence[Entry]) -> list[tuple[str, Entry]]:
    """Each entry with its place in the class; a guest has none."""
    place, found = 0, []
    for entry in rows:
        place += not entry.guest
        found.append(("" if entry.guest else f"{place}", entry))
    return found


def _cells(place: str, entry: Entry) -> list[str]:
    score = entry.score

    def figure(value: float | None, unit: float = 1.0) -> str:
        return "–" if value is None else number(float(value * unit))

    return [
        place, entry.name, f"{score.passed}/{score.tests}" if score.passed else "–",
        number(score.held), figure(score.rate), figure(score.p99, 1e3),
        "–" if score.memory is None else number(round(score.memory)),
        figure(score.cpu, 1e6), figure(score.calls),
    ]  # fmt: skip


def _line(placed: tuple[str, Entry]) -> str:
    cells = _cells(*placed)
    return f"{cells[0]:>3} {cells[1]:<40} " + " ".join(f"{cell:>11}" for cell in cells[2:])


def _table(rows: Sequence[Entry]) -> str:
    def sides(cells: Sequence[str], tag: str) -> str:
        return "".join(
            f'<{tag} style="text-align: {"left" if at == 1 else "right"}">{html.escape(cell)}'
            f"</{tag}>"
            for at, cell in enumerate(cells)
        )

    def row(place: str, entry: Entry) -> str:
        kind = ' class="io-guest"' if entry.guest else ""
        about = html.escape(entry.score.machine)
        return f'<tr{kind} title="{about}">{sides(_cells(place, entry), "td")}</tr>'

    body = "".join(row(*placed) for placed in places(rows))
    return (
        f'<table class="io-board"><thead><tr>{sides(COLUMNS, "th")}</tr></thead>'
        f'<tbody>{body}</tbody></table><p class="io-note-board">{html.escape(NOTE)}</p>'
    )


def draw(rows: Sequence[Entry]) -> Figure:
    """The messages delivered per second as bars, the board's best at the top."""
    rows = rows[:BARS]
    figure = style.figure(8.0, 1.2 + 0.34 * len(rows))
    axes = figure.subplots()
    colours = [style.LIGHT["c" if entry.guest else "a"] for entry in rows]
    bars = axes.barh(range(len(rows)), [entry.score.rate for entry in rows], color=colours)
    axes.bar_label(bars, [number(float(entry.score.rate)) for entry in rows], padding=5)
    for bar, entry in zip(bars, rows, strict=True):
        if entry.guest:
            bar.set_hatch("//")
            bar.set_edgecolor(style.LIGHT["on"])
    axes.set_yticks(range(len(rows)), [entry.name for entry in rows])
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.margins(x=0.16)
    axes.locator_params(axis="x", nbins=5)
    axes.set_xlabel("messages delivered per second")
    axes.set_title("The board" + (" (hatched: for comparison)" if any(colours) else ""))
    axes.xaxis.set_major_formatter(lambda value, _position: number(float(value)))
    return figure


def alt(rows: Sequence[Entry]) -> str:
    """What the chart shows, in words."""
    said = []
    for entry in rows[:BARS]:
        beside = " (for comparison)" * entry.guest
        said.append(f"{entry.name}{beside} {number(float(entry.score.rate))}")
    return "Messages delivered per second: " + "; ".join(said)
