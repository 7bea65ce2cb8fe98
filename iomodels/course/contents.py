"""The course's table of contents, read from the lessons themselves.

    for lesson in contents(Path("notebooks")):
        print(lesson.number, lesson.title, lesson.minutes, lesson.before)

Each lesson says at its top what it asks, how long it takes, and what to have read. The map of the
index is drawn from that, and the tests compare the index and the README with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# What belongs together: the name of a part, and its lessons.
PARTS = (
    ("One descriptor", range(3)),
    ("Many at once", range(3, 8)),
    ("Around epoll", range(8, 12)),
    ("A million", range(12, 16)),
)


@dataclass(frozen=True)
class Entry:
    """What a lesson says of itself in its first cell."""

    file: str
    number: int
    title: str
    question: str
    minutes: int
    before: tuple[int, ...]  # the lessons that it builds on


def contents(folder: Path) -> list[Entry]:
    """Read the first cell of each lesson in a folder. Raises ValueError for one that lacks a part.

    The lessons are the notebooks whose names begin with two digits.
    """
    return [entry(path) for path in sorted(folder.glob("[0-9][0-9]_*.ipynb"))]


def entry(path: Path) -> Entry:
    """Read the first cell of one lesson."""
    text = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
    parts = (r"# (\d\d) · (.+)", r"\*\*The question\.\*\* (.+)", r"\*\*Time:\*\* (\d+) minutes")
    found = [re.search(part, text) for part in (*parts, r"\*\*Read before:\*\* (.+)")]
    if None in found:
        raise ValueError(f"{path.name}: its first cell lacks title, question, time or what to read")
    title, question, minutes, before = (match for match in found if match)
    return Entry(
        path.name,
        int(title[1]),
        title[2].strip(),
        question[1].strip(),
        int(minutes[1]),
        tuple(sorted({int(number) for number in re.findall(r"lesson (\d\d)", before[1])})),
    )


def needed(lessons: Sequence[Entry]) -> dict[int, list[int]]:
    """Which lessons each one builds on, without those that another of them builds on already."""
    behind: dict[int, set[int]] = {}  # all that has gone before
    for entry in lessons:
        behind[entry.number] = set(entry.before).union(*(behind[n] for n in entry.before))
    return {
        entry.number: [
            number for number in entry.before
            if not any(number in behind[other] for other in entry.before)
        ]
        for entry in lessons
    }  # fmt: skip


def hours(minutes: int) -> str:
    """ "3 h 20" for 200."""
    return f"{minutes // 60} h {minutes % 60:02}"
