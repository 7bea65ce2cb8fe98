"""Every lesson in JupyterLab: opened as it is stored, and run from top to bottom.

Each widget of the course runs in one of LIVE: a prediction, a quiz and a stepper in 00, the anatomy
of a frame in 10, the million's slider and chart in 13. The others show nothing that these do not,
and nbval runs the cells of all; with IOMODELS_LONG=1 all are run here as well.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Desk
from tests.browser.lab import Lab, broken_widgets, run_all

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))
LIVE = [path for path in NOTEBOOKS if path.stem[:2] in ("00", "10", "13")]
CARD = ".jp-NotebookPanel:not(.lm-mod-hidden) .io-card"


def name(path: Path) -> str:
    return path.stem


@pytest.fixture(scope="module")
def lab(desk: Desk) -> Lab:
    """The JupyterLab of the other tests, in whose folder the lessons are as well."""
    (desk.folder / FOLDER.name).symlink_to(FOLDER)
    return desk.lab


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=name)
def test_it_is_shown_as_it_is_stored(notebook: Path, lab: Lab, page: Page) -> None:
    lab.open(page, f"{FOLDER.name}/{notebook.name}")
    expect(page.locator(CARD).first).to_be_attached()
    assert broken_widgets(page) == []


@pytest.mark.parametrize(
    "notebook", NOTEBOOKS if os.environ.get("IOMODELS_LONG") else LIVE, ids=name
)
def test_it_runs_from_top_to_bottom(notebook: Path, lab: Lab, page: Page) -> None:
    before = notebook.read_bytes()
    lab.open(page, f"{FOLDER.name}/{notebook.name}")
    assert run_all(page) == []
    expect(page.locator(CARD).first).to_be_attached()
    assert notebook.read_bytes() == before
