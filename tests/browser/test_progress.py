"""The bar that is shown while one waits: there while it lasts, gone when it is over."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import Desk
from tests.browser.lab import run_all

WAIT = """import iomodels.course, time
from iomodels.measure.progress import progress
with progress("Load") as step:
    for done in range(40):
        step(done / 40, f"{done} clients")
        time.sleep(0.1)"""


def test_it_is_there_while_one_waits_and_then_leaves_nothing(desk: Desk, page: Page) -> None:
    desk.lab.open(page, desk.write("wait.ipynb", WAIT).name)
    page.evaluate("void jupyterapp.commands.execute('notebook:run-all-cells')")
    bar = page.get_by_role("progressbar", name="Load")
    expect(bar).to_be_visible()
    expect(page.get_by_text(re.compile(r"Load \d+ clients"))).to_be_visible()
    assert run_all(page) == []
    expect(bar).to_have_count(0)
