"""What a learner opens is what the solutions make, and neither holds what a run leaves behind."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from iomodels.course.release import main, released
from tests.exercises.answers import EXERCISES, NAMES, SOLUTIONS, notebook

AGAIN = "notebooks/exercises has drifted from notebooks/solutions: make exercises"
BOTH = [(folder, name) for folder in (SOLUTIONS, EXERCISES) for name in NAMES]
every_notebook = pytest.mark.parametrize(
    ("folder", "name"), BOTH, ids=[f"{folder.name}/{name}" for folder, name in BOTH]
)


@pytest.mark.parametrize("name", NAMES)
def test_the_exercise_is_what_its_solution_makes(name: str) -> None:
    exercise = EXERCISES / f"{name}.ipynb"
    assert exercise.exists(), AGAIN
    assert exercise.read_text() == released(SOLUTIONS / f"{name}.ipynb"), AGAIN


def test_there_is_no_exercise_without_a_solution() -> None:
    assert sorted(path.stem for path in EXERCISES.glob("*.ipynb")) == NAMES, AGAIN


def test_a_change_is_written_and_what_has_no_source_is_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "solutions", tmp_path / "exercises"
    source.mkdir()
    target.mkdir()
    original = (SOLUTIONS / f"{NAMES[0]}.ipynb").read_text()
    (source / "one.ipynb").write_text(original)
    (target / "gone.ipynb").write_text(original)
    folders = [str(source), str(target)]
    assert main(folders) == 0
    assert [path.name for path in target.iterdir()] == ["one.ipynb"]
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert main(folders) == 0
    assert capsys.readouterr().out == "", "nothing has changed"
    (source / "one.ipynb").write_text(original.replace("# Exercise: ", "# Task: "))
    assert main(folders) == 0
    assert "# Task: " in (target / "one.ipynb").read_text()
    assert main([]) == 2


@pytest.mark.parametrize("name", NAMES)
def test_the_learner_sees_a_stub_and_no_solution_and_no_hidden_case(name: str) -> None:
    text = (EXERCISES / f"{name}.ipynb").read_text()
    assert "raise NotImplementedError()" in text
    assert "BEGIN" not in text and "END SOLUTION" not in text
    for cell in notebook(name, EXERCISES).cells:
        about = cell.metadata.nbgrader
        assert about.schema_version == 3
        assert about.solution or cell.metadata.editable is False, f"{cell.id} can be changed"


@every_notebook
def test_nothing_of_a_run_or_of_a_machine_is_stored(folder: Path, name: str) -> None:
    book: Any = notebook(name, folder)
    assert not re.search(r"/(root|home|work|Users|tmp)/", (folder / f"{name}.ipynb").read_text())
    assert set(book.metadata) == {"kernelspec", "language_info"}
    assert book.metadata.kernelspec.name == "python3"
    assert "version" not in book.metadata.language_info
    for cell in book.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None


@every_notebook
def test_prose_is_plain_and_links_lead_somewhere(folder: Path, name: str) -> None:
    words = "\n".join(c.source for c in notebook(name, folder).cells if c.cell_type == "markdown")
    assert "!" not in re.sub(r"`[^`]*`|```.*?```", "", words, flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", words):
        assert link.startswith("http") or (folder / link.partition("#")[0]).exists(), link
