"""The lessons as they are stored: executed, whole in form, and fit to be read anywhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from iomodels.measure.machine import LESSONS

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
READ = {path: nbformat.read(path, as_version=4) for path in NOTEBOOKS}
every_notebook = pytest.mark.parametrize(
    ("path", "notebook"), READ.items(), ids=[path.stem for path in READ]
)

SECTIONS = ("Break it", "Quiz", "Take-away", "To go further")
LONGEST_CELL = 25  # lines; a quiz is data, and may be longer


def code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text(notebook: Any) -> str:
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def test_the_doctor_knows_each_lesson_and_the_readme_names_it() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [int(path.name[:2]) for path in NOTEBOOKS] == [lesson.number for lesson in LESSONS]
    for path, lesson in zip(NOTEBOOKS, LESSONS, strict=True):
        assert f"[{lesson.title}](notebooks/{path.name})" in readme
        assert READ[path].cells[0].source.startswith(f"# {lesson.number:02} · {lesson.title}\n")


@every_notebook
def test_every_cell_was_run_in_order_and_none_failed(path: Path, notebook: Any) -> None:
    """nbval compares what is stored: a cell without its outputs would pass whatever it does."""
    counts = [cell.execution_count for cell in code(notebook)]
    assert counts == list(range(1, len(counts) + 1))
    outputs = [output for cell in code(notebook) for output in cell.outputs]
    assert len(outputs) > len(counts) / 3
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"]


def test_the_stored_figures_are_from_one_machine_and_one_day() -> None:
    said = {re.findall(r"^\*Stored on .+\*$", READ[path].cells[0].source, re.M)[0] for path in READ}
    assert len(said) == 1, said


@every_notebook
def test_nothing_of_the_machine_or_of_a_kernel_that_is_gone_is_stored(
    path: Path, notebook: Any
) -> None:
    stored = path.read_text()
    assert "vnd.jupyter.widget" not in stored
    assert "widgets" not in notebook.metadata
    outputs = str([cell.outputs for cell in code(notebook)])
    assert not re.search(r"/(root|home|work|Users|tmp)/", outputs)
    assert notebook.metadata.kernelspec.name == "python3"
    assert "version" not in notebook.metadata.language_info


@every_notebook
def test_a_lesson_has_its_parts(path: Path, notebook: Any) -> None:
    words, source = text(notebook), "\n".join(cell.source for cell in code(notebook))
    opening = notebook.cells[0].source
    assert "**The question.**" in opening
    assert "**Afterwards you can**" in opening
    assert re.search(r"\*\*Time:\*\* \d+ minutes\. \*\*Read before:\*\* ", opening)
    for section in SECTIONS:
        assert re.search(rf"^## .*{section}", words, re.MULTILINE), section
    take_away = words.partition("## Take-away")[2].partition("##")[0]
    assert len(re.findall(r"^\d\. ", take_away, re.MULTILINE)) == 5
    keys = re.findall(r"predict\(\s*\"([^\"]+)\"", source)
    assert len(keys) == len(set(keys)) >= 2
    assert source.count(".compare(") >= len(keys)
    assert 3 <= source.count("Question(\n") <= 5
    assert "style.show(" in source and "style.say(" in source
    assert source.count("assert ") >= 5
    (quiz,) = [cell for cell in code(notebook) if cell.source.startswith("quiz(")]
    assert quiz.metadata.jupyter.source_hidden, "the cell holds the answers"
    long = [cell for cell in code(notebook) if len(cell.source.splitlines()) > LONGEST_CELL]
    assert [cell.id for cell in long if cell is not quiz] == []


@every_notebook
def test_prose_is_plain(path: Path, notebook: Any) -> None:
    words = text(notebook)
    assert "!" not in re.sub(r"`[^`]*`|```.*?```", "", words, flags=re.DOTALL)
    for filler in ("simply", "obviously", "of course,", "as we all know", "powerful", "amazing"):
        assert filler not in words.lower(), filler
    assert "<details" not in words and "<div" not in words, "Markdown that every reader knows"


def test_no_word_is_misspelt_as_words_often_are(tmp_path: Path) -> None:
    """The other files are read by codespell itself (make lint); a notebook holds pictures too."""
    for path in (ROOT / "notebooks").glob("**/*.ipynb"):
        words = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)
        (tmp_path / f"{path.parent.name}-{path.stem}.txt").write_text(words)
    settings = ["--toml", str(ROOT / "pyproject.toml")]
    command = [sys.executable, "-m", "codespell_lib", *settings, str(tmp_path)]
    assert subprocess.run(command, capture_output=True, text=True).stdout == ""


@every_notebook
def test_links_lead_somewhere(path: Path, notebook: Any) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", text(notebook))
    for link in links:
        if not link.startswith("http"):
            assert (path.parent / link.partition("#")[0]).exists(), link
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)


def test_the_links_of_the_readme_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", (ROOT / "README.md").read_text())
    assert len(links) > 5
    assert [link for link in links if not (ROOT / link).exists()] == []
