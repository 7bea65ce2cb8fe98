"""Cards in JupyterLab, and a lesson exported as a page, before an accessibility checker."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from iomodels.course.store import store
from tests.browser.axe import serious_faults
from tests.browser.conftest import Desk
from tests.browser.lab import run_all, theme
from tests.browser.test_widgets import CHOICES, COMPARE, NUMBER, QUIZ, SLIDER

ROOT = str(Path(__file__).parents[2])
STEPPERS = f"""import sys; sys.path.insert(0, {ROOT!r})
from iomodels.views.stepper import stepper
from tests.browser.recordings import toy
stepper(toy("blocking"), at=14)"""
ANATOMY = """from iomodels.views.anatomy import anatomy
anatomy("81 85 37 fa 21 3d 7f 9f 4d 51 58")"""
CHART = """from iomodels.views.style import figure, say, show
drawn = figure()
drawn.subplots().plot([1, 2], [3, 4])
show(drawn, "It rises from 3 to 4.")
say("It rises, as `plot` shows.")"""
TABLE = """from iomodels.kernel.descriptors import descriptors
from iomodels.views.descriptors import show_descriptions, show_table
show_table(descriptors(), "From `/proc/self/fd`.", rows=3)
show_descriptions({"out": 1, "err": 2}, "From `kcmp`.")"""

# nbconvert's own: the numbers of cells are too pale, and so is a number in its highlighted code.
TEMPLATE = [".jp-InputPrompt", ".jp-OutputPrompt", ".highlight"]


def test_cards_in_jupyterlab(desk: Desk, page: Page) -> None:
    """A quiz at first, with a wrong answer and a right one; predictions open and compared."""
    cells = (QUIZ, NUMBER, COMPARE, SLIDER, CHOICES)
    desk.lab.open(page, desk.write("cards.ipynb", *cells).name)
    assert run_all(page) == []
    ours = {"include": [".iomodels"]}
    answers = [page.get_by_role("radio", name="nothing yet"), page.get_by_role("radio").nth(3)]
    for dark in (False, True):
        theme(page, dark)
        assert serious_faults(page, ours) == []
        for answer in answers:
            answer.click()
        expect(page.get_by_text("2 of 2 answered")).to_be_visible()
        assert serious_faults(page, ours) == []


@pytest.fixture(scope="module")
def stored(desk: Desk) -> Path:
    cells = (QUIZ, NUMBER, COMPARE, STEPPERS, 'stepper(toy("select"), toy("epoll"))', ANATOMY,
             CHART, TABLE)  # fmt: skip
    path = desk.write("page.ipynb", *cells)
    store(path)
    return path


@pytest.mark.parametrize("shade", ["light", "dark"])
def test_an_exported_page(shade: str, stored: Path, offline: Page) -> None:
    page = offline
    subprocess.run(
        [sys.executable, "-m", "nbconvert", "--to", "html", "--theme", shade, stored], check=True
    )
    page.route(re.compile("^https?:"), lambda route: route.fulfill(body=""))  # there is no network
    page.goto(stored.with_suffix(".html").as_uri(), wait_until="domcontentloaded")
    expect(page.locator(".stepper")).to_have_count(2)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert serious_faults(page, {"exclude": TEMPLATE}) == []
