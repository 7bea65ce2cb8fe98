"""A real JupyterLab in a real browser, and how to run a notebook in it as a learner does.

    with jupyter_lab(folder) as lab, browser() as chromium:
        page = chromium.new_page()
        lab.open(page, "00_start.ipynb")
        problems = run_all(page)

JupyterLab is a child process with settings, caches and runtime files in a temporary folder of its
own; it is ended by its process id, with its kernels. Nothing in `folder` is written: nobody saves.
The browser is the system's Chromium; `browser_path()` is None where there is none.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
from playwright.sync_api import Browser, ConsoleMessage, Page, TimeoutError, sync_playwright

NO_BROWSER = "there is no Chromium here (apt install chromium)"
STARTS_WITHIN = 90  # seconds; it takes about 3
RUNS_WITHIN = 300  # seconds for a whole notebook
# Milliseconds between two looks of a wait. By itself playwright looks at each frame, and so has the
# page draw sixty of them a second.
EACH = 200

SETTINGS = {
    # No requests to the outside, nothing that pops up, nothing saved unasked.
    "@jupyterlab/apputils-extension/notification": {
        "checkForUpdates": False, "doNotDisturbMode": True, "fetchNews": "false",
    },
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
    "@jupyterlab/extensionmanager-extension/plugin": {"enabled": False},
}  # fmt: skip


def browser_path() -> str | None:
    """The system's Chromium, or None."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Headless Chromium, until the end of the block."""
    path = browser_path()
    if path is None:
        raise RuntimeError(NO_BROWSER)
    arguments = (
        "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync"
        " --disable-background-networking --disable-component-update"
    ).split()
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=arguments)
        try:
            yield chromium
        finally:
            chromium.close()


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab: its port on 127.0.0.1, its token, its process id, what it logs."""

    port: int
    token: str
    pid: int
    log: Path

    def open(self, page: Page, notebook: str) -> None:
        """Show a notebook, named from the root folder; return when its kernel is ready.

        A page that shows this JupyterLab already keeps it, for to load it takes seconds; what was
        open there is closed, unsaved. Opened again, a notebook is loaded with all the rest.
        """
        here = f"http://127.0.0.1:{self.port}/lab/"
        if not page.url.startswith(here) or page.evaluate(IS_OPEN, notebook):
            workspace = secrets.token_hex(4)
            page.goto(f"{here}workspaces/{workspace}/tree/{quote(notebook)}?token={self.token}")
            page.wait_for_function(
                IS_OPEN, arg=notebook, polling=EACH, timeout=STARTS_WITHIN * 1000
            )
        page.evaluate(OPEN, notebook)
        wait_until_idle(page, STARTS_WITHIN)


IS_OPEN = "(path) => window.jupyterapp?.shell.currentWidget?.context?.path === path"
OPEN = """async (path) => {
    const { commands, restored, shell } = window.jupyterapp;
    await restored;
    const before = [...shell.widgets("main")];
    const panel = await commands.execute("docmanager:open", { path });
    await panel.context.ready;
    await panel.sessionContext.ready;
    // Only now: where nothing is left, JupyterLab puts a launcher.
    before.filter((other) => other !== panel).forEach((other) => other.dispose());
    shell.collapseLeft();
    shell.activateById(panel.id);
}"""


def wait_until_idle(page: Page, seconds: float) -> None:
    """Until the open notebook's kernel has nothing to do."""
    page.wait_for_function(
        "() => jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'",
        polling=EACH,
        timeout=seconds * 1000,
    )


@contextlib.contextmanager
def jupyter_lab(folder: Path) -> Iterator[Lab]:
    """JupyterLab on a port that it is free to choose, with `folder` as its root."""
    token = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="iomodels-lab-") as own:
        runtime = Path(own, "runtime")
        for name, values in SETTINGS.items():
            file = Path(own, "settings", f"{name}.jupyterlab-settings")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(values))
        environment = os.environ | {
            "JUPYTER_CONFIG_DIR": f"{own}/config",
            "JUPYTER_DATA_DIR": f"{own}/data",
            "JUPYTER_RUNTIME_DIR": str(runtime),
            "JUPYTERLAB_SETTINGS_DIR": f"{own}/settings",
            "JUPYTERLAB_WORKSPACES_DIR": f"{own}/workspaces",
            "IPYTHONDIR": f"{own}/ipython",
            "JUPYTER_PREFER_ENV_PATH": "1",
        }
        log = Path(own, "log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                [
                    sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root",
                    "--expose-app-in-browser", "--ServerApp.port=0", "--ServerApp.ip=127.0.0.1",
                    f"--FileCheckpoints.checkpoint_dir={own}/checkpoints",
                    f"--ServerApp.root_dir={folder.resolve()}",
                    f"--IdentityProvider.token={token}",
                ],
                cwd=own, env=environment, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        try:
            port = _port(process, runtime, log)
            yield Lab(port, token, process.pid, log)
        finally:
            _end(process)


def _port(process: subprocess.Popen[bytes], runtime: Path, log: Path) -> int:
    """The port that the server has written down, once it answers."""
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        for file in runtime.glob("jpserver-*.json"):
            # Half written, or written before it listens.
            with contextlib.suppress(ValueError, ConnectionError):
                port = int(json.loads(file.read_text())["port"])
                socket.create_connection(("127.0.0.1", port)).close()
                return port
        time.sleep(0.05)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the server and whatever it has started: kernels, and what runs in them."""
    family = []
    with contextlib.suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)  # it shuts its kernels down, then itself
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in psutil.wait_procs(family, timeout=5)[1]:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()


def watch(page: Page) -> list[str]:
    """A list to which the page's errors are added from now on: console errors and exceptions."""
    problems: list[str] = []

    def console(message: ConsoleMessage) -> None:
        if message.type == "error":
            problems.append(f"console: {message.text}")

    page.on("console", console)
    page.on("pageerror", lambda error: problems.append(f"page: {error}"))
    return problems


def run_all(page: Page) -> list[str]:
    """Run all cells of the open notebook, wait for the end, and name the cells that failed."""
    page.evaluate(
        """() => {
            window.ran = false;
            const end = () => { window.ran = true; };
            jupyterapp.commands.execute("notebook:run-all-cells").then(end, end);
        }"""
    )
    try:
        page.wait_for_function("() => window.ran", polling=EACH, timeout=RUNS_WITHIN * 1000)
        wait_until_idle(page, RUNS_WITHIN)
    except TimeoutError:
        return [f"the notebook still runs after {RUNS_WITHIN} seconds"]
    errors: list[str] = page.evaluate(
        """() => [...jupyterapp.shell.currentWidget.content.model.cells].flatMap((cell, n) =>
            (cell.toJSON().outputs ?? [])
                .filter((output) => output.output_type === "error")
                .map((output) => `cell ${n}: ${output.ename}: ${output.evalue}`))"""
    )
    return errors + broken_widgets(page)  # that is an error, too, though no cell failed


def broken_widgets(page: Page) -> list[str]:
    """What JupyterLab says in the place of each widget that it cannot show."""
    return page.locator("text=/Error displaying widget|model not found/").all_inner_texts()


def theme(page: Page, dark: bool) -> None:
    """Switch JupyterLab to its dark or its light theme."""
    name = "JupyterLab Dark" if dark else "JupyterLab Light"
    page.evaluate(
        "(theme) => jupyterapp.commands.execute('apputils:change-theme', { theme })", name
    )
    page.wait_for_selector(f'body[data-jp-theme-name="{name}"]', state="attached")
    page.wait_for_timeout(400)  # the style sheet arrives a moment after its name


def screens(page: Page, folder: Path, prefix: str = "") -> list[Path]:
    """A picture of every screenful of the open notebook, from top to bottom."""
    folder.mkdir(parents=True, exist_ok=True)
    scroller = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-WindowedPanel-outer")
    scroller.evaluate("(e) => e.scrollTo(0, 0)")
    pictures: list[Path] = []
    more = True
    while more:
        page.wait_for_timeout(400)  # what comes into view is drawn
        pictures.append(folder / f"{prefix}{len(pictures) + 1:02}.png")
        page.screenshot(path=pictures[-1])
        more = scroller.evaluate(  # below the last cell JupyterLab leaves half a page of nothing
            """(e) => {
                const last = [...e.querySelectorAll(".jp-Notebook-cell")].at(-1);
                const bottom = e.getBoundingClientRect().bottom;
                const before = e.scrollTop;
                if (last && last.getBoundingClientRect().bottom <= bottom) return false;
                e.scrollBy(0, e.clientHeight - 60);
                return e.scrollTop > before;
            }"""
        )
    return pictures
