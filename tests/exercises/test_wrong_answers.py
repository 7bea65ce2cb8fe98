"""Each exercise: its solution passes every case, its stub none, and no wrong answer all of them."""

from __future__ import annotations

import re
from importlib import import_module

import pytest

from tests.exercises.answers import (
    NAMES,
    WRONG,
    WrongAnswer,
    all_points,
    grade,
    notebook,
    role,
    stub,
    with_answer,
    wrong_answers,
)

EACH = [wrong for name in NAMES for wrong in wrong_answers(name)]


@pytest.mark.parametrize("exercise", NAMES)
def test_the_solution_passes_all_visible_and_hidden_cases(exercise: str) -> None:
    graded = grade(notebook(exercise))
    assert graded.failures == [], graded.said
    assert graded.points == all_points(exercise)


@pytest.mark.parametrize("exercise", NAMES)
def test_an_untouched_stub_is_not_written_yet(exercise: str) -> None:
    graded = grade(with_answer(exercise, stub(exercise)))
    assert graded.failures and set(graded.failures) == {"Not written yet."}
    assert graded.points == 0


@pytest.mark.parametrize("wrong", EACH, ids=[f"{w.exercise}: {w.title}" for w in EACH])
def test_a_wrong_answer_is_told_what_is_wrong(wrong: WrongAnswer) -> None:
    graded = grade(with_answer(wrong.exercise, wrong.source))
    assert graded.points < all_points(wrong.exercise), "nothing was found wrong with it"
    failures = [line for line in graded.said.splitlines() if line.startswith("✗")]
    assert any(wrong.words in line for line in failures), "\n".join(failures)
    assert not any("which plays the other side" in line for line in failures), "a fault of the case"


@pytest.mark.parametrize("exercise", NAMES)
def test_an_exercise_has_its_parts(exercise: str) -> None:
    book = notebook(exercise)
    module = import_module(f"iomodels.course.exercises.{exercise[3:]}")
    assert len(module.CASES) >= 3
    assert book.cells[0].source.startswith("# Exercise: ")
    assert re.search(
        rf"\*\*Lesson:\*\* \[.+\]\(\.\./{exercise[:2]}_\w+\.ipynb\)", book.cells[0].source
    )
    assert sum(role(cell, "solution") for cell in book.cells) == 1
    graded = [cell.source for cell in book.cells if role(cell, "grade")]
    assert any("*cases.CASES" in source for source in graded)
    assert any("### BEGIN HIDDEN TESTS" in source for source in graded)
    wrong = wrong_answers(exercise)
    assert len(wrong) >= 5
    assert len({answer.source for answer in wrong}) == len(wrong)


def test_every_wrong_answer_is_to_an_exercise() -> None:
    assert {path.stem for path in WRONG.glob("*.py")} == {name[3:] for name in NAMES}
    assert len(NAMES) >= 3
