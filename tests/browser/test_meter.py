"""The live meter in a real JupyterLab: by keyboard, and nothing left whatever becomes of it."""

from __future__ import annotations

import itertools
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from playwright.sync_api import Locator, Page, expect

from iomodels.course.store import store
from tests.browser.conftest import Desk
from tests.browser.lab import run_all, theme
from tests.browser.test_widgets import active_cell

METER = "from iomodels.views.meter import meter\nshown = meter('epoll')\nshown"
# A meter loads both CPUs, on which other tests run. So of most there is a sample of a twentieth of
# a second after half of one. The cell may run again: the one before is bound, not looked up.
SELDOM = """import time
from iomodels.measure.meter import Meter
def seldom(self, load, seconds=0.05, sample=Meter.sample):
    time.sleep(0.5)
    return sample(self, load, seconds)
Meter.sample = seldom
"""
FIGURE = re.compile(r"\d")
WITHIN = 60_000  # milliseconds until a sample; on a free machine it takes three seconds


def begin(desk: Desk, page: Page, name: str, *cells: str, first: str = SELDOM + METER) -> Locator:
    """Run a notebook with a meter in its first cell; return the card."""
    desk.lab.open(page, desk.write(name, first, *cells).name)
    assert run_all(page) == []
    return page.locator(".io-meter")


def start(page: Page) -> None:
    """Press Start, and wait for a figure in each tile."""
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_role("button", name="Stop", exact=True)).to_be_visible()
    for figure in page.locator(".io-meter .figure").all():
        expect(figure).to_have_text(FIGURE, timeout=WITHIN)


def processes(desk: Desk) -> list[psutil.Process]:
    """The servers and clients that run below this JupyterLab, or were left behind by it."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        command = " ".join(process.info["cmdline"] or ())
        own = f"JUPYTERLAB_SETTINGS_DIR={settings(desk)}"
        if "iomodels.measure." in command and own in environment(process):
            found.append(process)
    return found


def environment(process: psutil.Process) -> list[str]:
    return [f"{name}={value}" for name, value in (process.info["environ"] or {}).items()]


def settings(desk: Desk) -> str:
    """A folder that no other JupyterLab has."""
    return psutil.Process(desk.lab.pid).environ()["JUPYTERLAB_SETTINGS_DIR"]


def kernels(desk: Desk) -> list[psutil.Process]:
    children = psutil.Process(desk.lab.pid).children(recursive=True)
    return [child for child in children if "ipykernel_launcher" in " ".join(child.cmdline())]


def until(page: Page, true: Callable[[], Any]) -> None:
    end = time.monotonic() + WITHIN / 1000
    while not true():
        assert time.monotonic() < end, "it never came to that"
        page.wait_for_timeout(50)


def test_it_waits_for_start_and_says_what_it_is(desk: Desk, page: Page) -> None:
    card = begin(desk, page, "waits.ipynb")
    expect(card.get_by_text("A server in a process of its own").first).to_be_visible()
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible()
    assert processes(desk) == []


def test_by_keyboard_it_starts_changes_and_stops(desk: Desk, page: Page) -> None:
    card = begin(desk, page, "keys.ipynb", "'below'", first=METER)
    page.get_by_role("button", name="Start", exact=True).focus()
    page.keyboard.press("Enter")
    said = card.locator(".said")
    expect(said).to_have_text(
        re.compile("^epoll, 100 clients: .* messages a second"), timeout=WITHIN
    )
    assert len(processes(desk)) == 2

    page.keyboard.press("Tab")
    expect(page.get_by_role("combobox", name="Model")).to_be_focused()
    page.keyboard.press("ArrowUp")  # JupyterLab's own key for the cell above
    expect(page.get_by_role("combobox", name="Model")).to_have_value("poll")
    page.keyboard.press("Tab")
    slider = page.get_by_role("slider", name="Connections")
    expect(slider).to_be_focused()
    expect(slider).to_have_attribute("aria-valuetext", "100 clients")
    page.keyboard.press("ArrowLeft")
    expect(slider).to_have_attribute("aria-valuetext", "50 clients")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    flight = page.get_by_role("slider", name="In flight, each")
    expect(flight).to_have_attribute("aria-valuetext", "2 messages")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    size = page.get_by_role("slider", name="Size of a message")
    expect(size).to_have_attribute("aria-valuetext", "256 bytes")
    expect(said).to_have_text(re.compile("^poll, 50 clients: "), timeout=WITHIN)
    assert active_cell(page) == 0  # no key has gone to JupyterLab

    page.get_by_role("button", name="Stop", exact=True).focus()
    page.keyboard.press("Space")
    expect(said).to_have_text("Stopped. Server and clients have ended.", timeout=WITHIN)
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_focused()
    assert processes(desk) == []
    asked = "(shown.model, shown.connections, shown.in_flight, shown.size)"
    assert evaluated(page, asked) == "('poll', 50, 2, 256)"


def evaluated(page: Page, expression: str) -> str:
    """What an expression is in the open notebook's kernel."""
    answer: str = page.evaluate(
        """async (code) => {
            const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
            const future = kernel.requestExecute({ code: "", user_expressions: { it: code } });
            return (await future.done).content.user_expressions.it.data["text/plain"];
        }""",
        expression,
    )
    return answer


def test_each_tile_and_line_has_a_name_and_is_heard_now_and_then(desk: Desk, page: Page) -> None:
    card = begin(desk, page, "names.ipynb")
    heard = card.locator("[aria-live=polite]")
    page.evaluate(
        """() => {
            window.heard = [];
            const live = document.querySelector(".io-meter [aria-live=polite]");
            const note = () => window.heard.push([performance.now(), live.textContent]);
            new MutationObserver(note).observe(live, { childList: true });
        }"""
    )
    start(page)
    samples = "len(shown.samples)"
    until(page, lambda: int(evaluated(page, samples)) >= 12)
    for name in ("Messages per second", "p99", "CPU", "Memory", "Switches"):
        tile = card.get_by_role("group", name=name)
        line = tile.get_by_role("img", name=re.compile(r"the last \d+ samples: from .* to "))
        expect(line).to_be_visible()
    expect(heard).to_have_text(re.compile("messages a second"))
    figures = [at for at, text in page.evaluate("window.heard") if "messages a second" in text]
    assert len(figures) >= 2
    assert all(b - a >= 4990 for a, b in itertools.pairwise(figures))


@pytest.mark.parametrize("end", ["restart", "kill", "interrupt", "rerun", "clear", "close"])
def test_nothing_is_left_after(desk: Desk, page: Page, end: str) -> None:
    card = begin(desk, page, f"{end}.ipynb")
    start(page)
    assert len(processes(desk)) == 2
    kernel = kernels(desk)[-1]
    if end == "restart":
        page.evaluate("jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
    elif end == "kill":
        kernel.send_signal(signal.SIGKILL)
    elif end == "interrupt":
        page.evaluate("void jupyterapp.commands.execute('notebook:interrupt-kernel')")
    elif end == "rerun":
        assert run_all(page) == []
        expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible()
    elif end == "clear":
        page.evaluate("void jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
        expect(card).to_have_count(0)
    else:
        assert evaluated(page, "shown.close()") == "None"
        expect(card).to_have_count(0)
    until(page, lambda: processes(desk) == [])
    if end == "interrupt":
        expect(card.locator(".said.problem, .said", has_text="ended")).to_be_visible()
        start(page)  # and again


def test_who_scrolls_on_does_not_stop_it(desk: Desk, page: Page) -> None:
    begin(desk, page, "scroll.ipynb", *["print('\\n' * 60)"] * 12, "'the end'")
    start(page)
    page.evaluate("""() => jupyterapp.shell.currentWidget.content.scrollToItem(13)""")
    page.wait_for_timeout(3000)
    many = int(evaluated(page, "len(shown.samples)"))
    until(page, lambda: int(evaluated(page, "len(shown.samples)")) > many + 1)
    assert evaluated(page, "shown.running") == "True"


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_and_follows_the_theme(desk: Desk, page: Page, dark: bool) -> None:
    card = begin(desk, page, f"looks-{dark}.ipynb")
    theme(page, dark)
    for width in (1280, 900, 400):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(400)  # JupyterLab lays itself out anew at the next frame
        wide, needed = card.evaluate("(e) => [e.clientWidth, e.scrollWidth]")
        assert needed <= wide, width
        for tile in card.locator(".tile").all():
            assert tile.evaluate("(e) => e.scrollWidth <= e.clientWidth"), width
        light = card.evaluate("(e) => parseInt(getComputedStyle(e).color.match(/[0-9]+/)[0])")
        assert (light > 128) == dark


def test_a_stored_notebook_reads_well_and_is_the_same_when_run_again(
    desk: Desk, page: Page
) -> None:
    path = desk.write("stored-meter.ipynb", METER)
    store(path)
    strict = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval", str(path)]
    done = subprocess.run(strict, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    desk.lab.open(page, path.name)
    expect(page.get_by_text("Run the cell, then press Start.")).to_be_visible()
    expect(page.get_by_text("model not found")).to_have_count(0)
    assert processes(desk) == []
