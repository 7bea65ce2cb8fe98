"""The teacher's whole round with nbgrader: hand out, submit, collect, grade, and give feedback.

An exercise of each part of the course makes one assignment. Three students submit it: one with the
solutions, one with the stubs, who has also cut the checks out of the locked cells, and one with a
wrong answer to each. A notebook is run in a kernel of its own, which is what takes the time (its
seconds are printed): the solutions, stubs and wrong answers of all exercises are tried without one,
in test_wrong_answers.py, and nbgrader's markup in all of them by test_drift.py.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbgrader.apps.api import NbGraderAPI
from nbgrader.auth import Authenticator
from nbgrader.coursedir import CourseDirectory
from nbgrader.exchange import ExchangeFactory
from traitlets.config import Config

from tests.exercises.answers import (
    SOLUTIONS,
    all_points,
    notebook,
    role,
    stub,
    with_answer,
    wrong_answers,
)

NAMES = ("01_find_the_leak", "02_recv_exactly", "07_drain", "10_decode_header")
ASSIGNMENT = "course"
STUDENTS = ("right", "untouched", "wrong")

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning"),  # nbgrader's own
]


@dataclass
class Round:
    """What the gradebook says after it, and where the feedback lies."""

    scores: dict[str, dict[str, tuple[float, float]]]  # student -> exercise -> points, of so many
    feedback: Path


def settings(root: Path, home: Path) -> Config:
    """A course in a folder of its own, an exchange beside it, and a student's home."""
    config = Config()
    config.CourseDirectory.root = str(root / "course")
    config.CourseDirectory.course_id = "io"
    config.Exchange.root = str(root / "exchange")
    config.Exchange.cache = str(home / "cache")
    config.Exchange.assignment_dir = str(home)
    config.ExchangeCollect.check_owner = False  # one user plays all of them
    return config


def well(result: dict[str, Any]) -> None:
    assert result["success"], f"{result.get('log')}\n{result.get('error')}"


def hand_in(root: Path, student: str, released: Path) -> None:
    """Fill in the student's copy of what was released, and submit it."""
    home = root / "home" / student
    (home / ASSIGNMENT).mkdir(parents=True)
    for name in NAMES:
        (answer,) = [cell.source for cell in notebook(name).cells if role(cell, "solution")]
        if student == "untouched":
            answer = stub(name)
        if student == "wrong":
            answer = wrong_answers(name)[0].source
        book = with_answer(name, answer, released)
        if student == "untouched":
            for cell in book.cells:
                if role(cell, "grade"):
                    cell.source = "pass"
        nbformat.write(book, home / ASSIGNMENT / f"{name}.ipynb")
    config = settings(root, home)
    course = CourseDirectory(config=config)
    course.student_id, course.assignment_id = student, ASSIGNMENT
    exchange = ExchangeFactory(config=config)
    authenticator = Authenticator(config=config)
    exchange.Submit(coursedir=course, authenticator=authenticator, config=config).start()


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Round]:
    with pytest.MonkeyPatch.context() as patch:
        # nbgrader calls `alembic` by its name: a teacher has activated .venv
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
        yield the_round(tmp_path_factory.mktemp("nbgrader"))


def the_round(root: Path) -> Round:
    started = time.monotonic()
    (root / "exchange").mkdir()
    (root / "exchange").chmod(0o777)
    source = root / "course" / "source" / ASSIGNMENT
    source.mkdir(parents=True)
    for name in NAMES:
        (source / f"{name}.ipynb").write_bytes((SOLUTIONS / f"{name}.ipynb").read_bytes())

    config = settings(root, root / "home")
    teacher = NbGraderAPI(CourseDirectory(config=config), config=config)
    well(teacher.generate_assignment(ASSIGNMENT))
    well(teacher.release_assignment(ASSIGNMENT))
    released = root / "exchange" / "io" / "outbound" / ASSIGNMENT
    for student in STUDENTS:
        hand_in(root, student, released)
    well(teacher.collect(ASSIGNMENT))
    for student in STUDENTS:
        well(teacher.autograde(ASSIGNMENT, student))
    well(teacher.generate_feedback(ASSIGNMENT, "wrong"))

    with teacher.gradebook as book:
        scores = {
            student: {
                found.name: (found.score, found.max_score)
                for found in book.find_submission(ASSIGNMENT, student).notebooks
            }
            for student in STUDENTS
        }
    print(f"nbgrader: {len(NAMES) * len(STUDENTS)} notebooks in {time.monotonic() - started:.0f} s")
    return Round(scores, root / "course" / "feedback" / "wrong" / ASSIGNMENT)


def test_the_solution_gets_all_points(graded: Round) -> None:
    assert graded.scores["right"] == {name: (all_points(name),) * 2 for name in NAMES}


def test_the_stub_gets_none_even_with_the_checks_cut_out(graded: Round) -> None:
    assert graded.scores["untouched"] == {name: (0, all_points(name)) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_answer_gets_less_than_all_points(name: str, graded: Round) -> None:
    score, full = graded.scores["wrong"][name]
    assert score < full == all_points(name)


@pytest.mark.parametrize("name", NAMES)
def test_the_feedback_says_what_was_wrong(name: str, graded: Round) -> None:
    page = (graded.feedback / f"{name}.html").read_text()
    assert "CheckFailed" in page or " fail" in page
    assert "io-problem" in page
