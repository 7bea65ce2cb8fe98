"""What stands around the lessons: index, glossary, the calls on one page, the teacher's guide."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import nbformat
import pytest

from iomodels.course.contents import PARTS, contents, needed
from iomodels.course.course_map import alt, draw
from iomodels.measure.machine import LESSONS

ROOT = Path(__file__).parent.parent
NOTEBOOKS = ROOT / "notebooks"
COURSE = contents(NOTEBOOKS)
BY_NUMBER = {entry.number: entry for entry in COURSE}


@cache
def prose(name: str) -> str:
    cells = nbformat.read(NOTEBOOKS / name, as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


@cache
def headings(name: str) -> set[str]:
    return {line.lstrip("# ") for line in prose(name).splitlines() if line.startswith("##")}


GUIDE = (ROOT / "docs" / "teaching.md").read_text()


# --- the index ---


def rows(text: str) -> dict[int, tuple[str, str, int]]:
    """Number, title, file and minutes of each lesson in a table."""
    found = re.findall(
        r"^\| (\d\d) \| \[(.+?)\]\((?:notebooks/)?(\S+?)\) \| .+? \| (\d+) \|", text, re.MULTILINE
    )
    return {int(number): (title, file, int(minutes)) for number, title, file, minutes in found}


@pytest.mark.parametrize("where", ["README.md", "notebooks/index.ipynb"])
def test_the_tables_say_what_the_lessons_say(where: str) -> None:
    text = prose("index.ipynb") if where.endswith("ipynb") else (ROOT / where).read_text()
    said = {entry.number: (entry.title, entry.file, entry.minutes) for entry in COURSE}
    assert rows(text) == said


def test_the_index_names_every_exercise() -> None:
    names = {path.name for path in (NOTEBOOKS / "exercises").glob("*.ipynb")}
    assert set(re.findall(r"\(exercises/(\S+?)\)", prose("index.ipynb"))) == names


def test_each_lesson_leads_to_its_exercises() -> None:
    for path in (NOTEBOOKS / "exercises").glob("*.ipynb"):
        lesson = BY_NUMBER[int(path.name[:2])]
        assert f"(exercises/{path.name})" in prose(lesson.file), path.name


def test_a_lesson_leads_to_the_one_before_and_the_one_after() -> None:
    for entry in COURSE:
        last = prose(entry.file).splitlines()[-1]
        for other, arrow in ((entry.number - 1, "←"), (entry.number + 1, "→")):
            if neighbour := BY_NUMBER.get(other):
                assert f"({neighbour.file})" in last and arrow in last, entry.file


def test_the_map_has_every_lesson_and_no_circle() -> None:
    assert [entry.number for entry in COURSE] == [lesson.number for lesson in LESSONS]
    assert sorted(n for _, numbers in PARTS for n in numbers) == sorted(BY_NUMBER)
    assert all(before < entry.number for entry in COURSE for before in entry.before)
    assert all(needed(COURSE)[entry.number] for entry in COURSE[1:])
    drawn, said = draw(COURSE), alt(COURSE)
    for entry in COURSE:
        assert f">{entry.number:02} · " in drawn
        assert f"{entry.number:02} {entry.title}" in said


# --- the glossary ---


def terms() -> list[tuple[str, str, str]]:
    """Term, definition and file of the lesson that defines it."""
    return re.findall(
        r"^- \*\*(.+?)\*\*: (.+) \(\[\d\d\]\((\S+?)\)\)$", prose("glossary.ipynb"), re.MULTILINE
    )


def test_each_term_of_the_glossary_is_in_its_lesson() -> None:
    assert len(terms()) > 100
    missing = [
        (term, file)
        for term, _, file in terms()
        if not any(word.strip().lower() in prose(file).lower() for word in term.split(","))
    ]
    assert missing == []


def test_the_glossary_is_in_order_and_has_each_term_once() -> None:
    names = [term.lstrip("`_").lower() for term, _, _ in terms()]
    assert names == sorted(names)
    assert len(set(names)) == len(names)
    lines = [line for line in prose("glossary.ipynb").splitlines() if line.startswith("- ")]
    assert len(lines) == len(names), "a line has another form"


# --- the calls on one page ---


def test_the_page_of_calls_names_lessons_that_there_are() -> None:
    page = (ROOT / "docs" / "calls.html").read_text()
    cells = re.findall(r"<td>([\d, ]+)</td></tr>", page)
    assert len(cells) == 40
    assert {int(n) for cell in cells for n in cell.split(", ")} <= set(BY_NUMBER)


# --- the teacher's guide ---


def test_every_concept_is_found_where_the_guide_says() -> None:
    table = re.findall(
        r"^\| (.+?) \| \[(\d\d)\]\(\.\./notebooks/(\S+?)\) \| (.+) \|$", GUIDE, re.MULTILINE
    )
    assert len(table) >= 121
    wrong = [
        (concept, file, section)
        for concept, number, file, section in table
        if BY_NUMBER[int(number)].file != file or section not in headings(file)
    ]
    assert wrong == []
    assert {int(number) for _, number, _, _ in table} == set(BY_NUMBER)


def test_the_guide_has_a_page_for_each_lesson() -> None:
    for entry in COURSE:
        _, found, page = GUIDE.partition(f"\n### {entry.number:02} · {entry.title}\n")
        assert found, entry.title
        page = page.partition("\n### ")[0]
        assert f"{entry.minutes} minutes" in page
        for part in ("**Open with:**", "**Most get wrong:**", "**Stop at:**", "**They ask:**"):
            assert part in page, (entry.title, part)


def test_the_links_of_the_guide_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)\s#]+)[^)]*\)", GUIDE)
    local = [link for link in links if not link.startswith("http")]
    assert len(local) > 16
    assert [link for link in local if not (ROOT / "docs" / link).exists()] == []
