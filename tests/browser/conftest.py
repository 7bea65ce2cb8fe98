"""What browser tests share: one Chromium, one JupyterLab, and pages which must log no error.

Chromium ends with this folder's tests, not with the session: as long as playwright runs, it has a
loop in this thread, and a later test that calls asyncio.run would be refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize

from tests.browser.lab import NO_BROWSER, Lab, browser, browser_path, jupyter_lab, watch

SIZE: ViewportSize = {"width": 1280, "height": 900}


# A shutdown is refused for a kernel that a test has killed; what is left ends with the lab.
CLEAR = """async ({ commands, serviceManager, shell }) => {
    const before = [...shell.widgets("main")];
    await commands.execute("launcher:create");
    before.forEach((widget) => widget.dispose());
    await serviceManager.sessions.shutdownAll().catch(() => {});
}"""


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    if browser_path() is None:
        pytest.skip(NO_BROWSER)
    with browser() as running:
        yield running


@pytest.fixture(scope="package")
def context(chromium: Browser) -> BrowserContext:
    """One for all pages: JupyterLab's own files are fetched once."""
    return chromium.new_context(viewport=SIZE)


@pytest.fixture(scope="package")
def tab(context: BrowserContext) -> Iterator[tuple[Page, list[str]]]:
    """One page for all tests, so that JupyterLab is loaded once, and its errors."""
    page = context.new_page()
    yield page, watch(page)
    page.close()


@pytest.fixture
def page(tab: tuple[Page, list[str]]) -> Iterator[Page]:
    """A page. The test fails when something was logged as an error, or thrown, in it."""
    page, problems = tab
    page.set_viewport_size(SIZE)
    problems.clear()  # a page whose kernels are shut down complains about that as well
    yield page
    found = list(problems)
    page.unroute_all()  # a test may have taken the network away
    page.evaluate("window.jupyterapp ? (" + CLEAR + ")(window.jupyterapp) : null")
    # A dialog, such as that a kernel has died, would stay; so would the layout of a narrow page,
    # which JupyterLab has below 760 pixels.
    size = page.viewport_size
    if found or size is None or size["width"] < 760 or page.locator(".jp-Dialog").count():
        page.goto("about:blank")
    assert found == []


@pytest.fixture(scope="package")
def offline_tab(chromium: Browser) -> Iterator[tuple[Page, list[str]]]:
    """One page without a network for all tests, and its errors.

    A new one for each would be a new process each time; and JupyterLab's page, which takes seconds
    to load, can stay as it is.
    """
    with chromium.new_context(offline=True) as context:
        page = context.new_page()
        yield page, watch(page)


@pytest.fixture
def offline(offline_tab: tuple[Page, list[str]]) -> Iterator[Page]:
    """A page without a network. The test fails when it logs an error."""
    page, problems = offline_tab
    page.set_viewport_size({"width": 1280, "height": 800})
    page.emulate_media(color_scheme="light", reduced_motion="no-preference")
    problems.clear()
    yield page
    page.unroute_all()
    page.goto("about:blank")
    assert problems == []


@dataclass
class Desk:
    """A running JupyterLab and the folder that it shows."""

    lab: Lab
    folder: Path

    def write(self, name: str, *cells: str) -> Path:
        """A notebook of code cells in the folder."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(notebook, self.folder / name)
        return self.folder / name


@pytest.fixture(scope="package")
def desk(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    with jupyter_lab(folder) as lab:
        yield Desk(lab, folder)
