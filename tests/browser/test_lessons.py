"""Every lesson in JupyterLab, from top to bottom, as a learner runs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.lab import Lab, jupyter_lab, run_all

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("[0-9][0-9]_*.ipynb"))


@pytest.fixture(scope="module")
def lab(chromium: Browser) -> Iterator[Lab]:
    with jupyter_lab(NOTEBOOKS[0].parent) as running:
        yield running


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_from_top_to_bottom(notebook: Path, lab: Lab, page: Page) -> None:
    before = notebook.read_bytes()
    lab.open(page, notebook.name)
    assert run_all(page) == []
    expect(page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .io-card").first).to_be_attached()
    assert notebook.read_bytes() == before
