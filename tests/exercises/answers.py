"""The exercises, their solutions and their wrong answers, found by their names and tried here.

An exercise NN_name has its notebook in notebooks/solutions, its visible cases in
iomodels/course/exercises/name.py, and its wrong answers in wrong/name.py: source after source, each
below a line `# %% what it does wrong: words of the message that it must get`. Where a busy machine
may bring out another fault of it first, ` | ` and the words for that one follow.
"""

from __future__ import annotations

import contextlib
import io
import linecache
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from iomodels.course.cases import TOO_BUSY
from iomodels.course.checking import CheckFailed

ROOT = Path(__file__).parents[2]
SOLUTIONS = ROOT / "notebooks" / "solutions"
EXERCISES = ROOT / "notebooks" / "exercises"
WRONG = Path(__file__).with_name("wrong")
NAMES = [path.stem for path in sorted(SOLUTIONS.glob("*.ipynb"))]


@dataclass(frozen=True)
class WrongAnswer:
    """What stands in the solution's cell, and what must be said of it."""

    exercise: str
    title: str
    words: tuple[str, ...]
    source: str

    def is_told(self, lines: list[str]) -> bool:
        """Whether one of a check's lines says what is wrong with it."""
        return any(words in line for words in self.words for line in lines)


def wrong_answers(exercise: str) -> list[WrongAnswer]:
    text = (WRONG / f"{exercise[3:]}.py").read_text()
    parts = re.split(r"^# %% (.+?): (.+)\n", text, flags=re.MULTILINE)[1:]
    return [
        WrongAnswer(exercise, title, tuple(words.split(" | ")), source.strip() + "\n")
        for title, words, source in zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    ]


def notebook(exercise: str, folder: Path = SOLUTIONS) -> Any:
    return nbformat.read(folder / f"{exercise}.ipynb", as_version=4)


def role(cell: Any, which: str) -> bool:
    """Whether nbgrader takes a cell for "solution" or for "grade"."""
    return bool(cell.metadata.get("nbgrader", {}).get(which))


def stub(exercise: str) -> str:
    """What the learner finds in the solution's cell."""
    (cell,) = [cell for cell in notebook(exercise, EXERCISES).cells if role(cell, "solution")]
    return str(cell.source)


def with_answer(exercise: str, answer: str, folder: Path = SOLUTIONS) -> Any:
    """The notebook with this in the solution's cell."""
    book = notebook(exercise, folder)
    (cell,) = [cell for cell in book.cells if role(cell, "solution")]
    cell.source = answer
    return book


@dataclass(frozen=True)
class Graded:
    """What the graded cells have said: all text, the messages of those that failed, all points."""

    said: str
    failures: list[str]
    points: float


def grade(book: Any, wrong: WrongAnswer | None = None) -> Graded:
    """Run a notebook's cells in this process, as a kernel would one after the other.

    With a wrong answer, no further once a case has said what is wrong with it: many of those that
    follow would wait for their deadlines. When a case says that the machine had too much else to
    do, once more, as it asks for.
    """
    for _ in range(3):
        graded = grade_once(book, wrong)
        if not any(TOO_BUSY in line for line in failed(graded.said)):
            break
    return graded


def grade_once(book: Any, wrong: WrongAnswer | None) -> Graded:
    """The same, whatever a case says."""
    space: dict[str, Any] = {"__name__": "the learner's notebook"}
    said, failures, points = io.StringIO(), [], 0.0
    for cell in book.cells:
        if cell.cell_type != "code":
            continue
        name = f"<cell {cell.id}>"
        linecache.cache[name] = (len(cell.source), None, cell.source.splitlines(True), name)
        with contextlib.redirect_stdout(said):
            try:
                exec(compile(cell.source, name, "exec"), space)
            except CheckFailed as failure:
                failures.append(str(failure))
                if wrong and wrong.is_told(failed(said.getvalue())):
                    break
            else:
                points += cell.metadata.nbgrader.get("points", 0)
    return Graded(said.getvalue(), failures, points)


def failed(said: str) -> list[str]:
    """The lines of a check's text that tell of cases that fail."""
    return [line for line in said.splitlines() if line.startswith("✗")]


def all_points(exercise: str) -> float:
    return float(sum(cell.metadata.nbgrader.get("points", 0) for cell in notebook(exercise).cells))
