"""Each exercise: its solution passes every case, its stub none, and no wrong answer all of them.

Most of its time a wrong answer waits for the deadline that ends it. So some are tried at once, each
in a process of its own. Those are started afresh: a check forks for each case, and to copy the page
tables of a process that holds ten thousand tests takes longer than most cases do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context

import pytest

from tests.exercises.answers import (
    NAMES,
    WRONG,
    Graded,
    WrongAnswer,
    all_points,
    failed,
    grade,
    notebook,
    role,
    stub,
    with_answer,
    wrong_answers,
)

EACH = [wrong for name in NAMES for wrong in wrong_answers(name)]
AT_ONCE = 8


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    pool = ProcessPoolExecutor(AT_ONCE, mp_context=get_context("spawn"))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="module")
def tried(
    request: pytest.FixtureRequest, pool: ProcessPoolExecutor
) -> dict[WrongAnswer, Future[Graded]]:
    """What becomes of the wrong answers that are asked for."""
    specs = [getattr(item, "callspec", None) for item in request.session.items]
    found = [spec.params.get("wrong") for spec in specs if spec]
    asked = [wrong for wrong in found if isinstance(wrong, WrongAnswer)]
    return {
        wrong: pool.submit(grade, with_answer(wrong.exercise, wrong.source), wrong)
        for wrong in asked
    }


@pytest.mark.parametrize("exercise", NAMES)
def test_the_solution_passes_all_visible_and_hidden_cases(
    exercise: str, pool: ProcessPoolExecutor
) -> None:
    graded = pool.submit(grade, notebook(exercise)).result()
    assert graded.failures == [], graded.said
    assert graded.points == all_points(exercise)


@pytest.mark.parametrize("exercise", NAMES)
def test_an_untouched_stub_is_not_written_yet(exercise: str, pool: ProcessPoolExecutor) -> None:
    graded = pool.submit(grade, with_answer(exercise, stub(exercise))).result()
    assert graded.failures and set(graded.failures) == {"Not written yet."}
    assert graded.points == 0


@pytest.mark.parametrize("wrong", EACH, ids=[f"{w.exercise}: {w.title}" for w in EACH])
def test_a_wrong_answer_is_told_what_is_wrong(
    wrong: WrongAnswer, tried: dict[WrongAnswer, Future[Graded]]
) -> None:
    graded = tried[wrong].result()
    assert graded.points < all_points(wrong.exercise), "nothing was found wrong with it"
    failures = failed(graded.said)
    assert wrong.is_told(failures), "\n".join(failures)
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
