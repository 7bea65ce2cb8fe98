"""The harness itself: what it reports, and that it leaves nothing behind."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import Desk
from tests.browser.lab import jupyter_lab, run_all, screens


def test_it_starts_without_a_warning(desk: Desk) -> None:
    starting, running, _ = desk.lab.log.read_text().partition("is running at")
    assert running
    assert re.findall(r"^\[(?:[WEC] .*|.*WARNING.*)", starting, re.MULTILINE) == []


def test_a_cell_that_fails_is_named(desk: Desk, page: Page) -> None:
    desk.lab.open(page, desk.write("fails.ipynb", "1", "1 / 0").name)
    assert run_all(page) == ["cell 1: ZeroDivisionError: division by zero"]


def test_every_screenful_has_its_picture(desk: Desk, page: Page, tmp_path: Path) -> None:
    tall = "from IPython.display import HTML; HTML('<p style=\"height: 900px\">tall</p>')"
    desk.lab.open(page, desk.write("tall.ipynb", tall, tall, "'the end'").name)
    assert run_all(page) == []
    pictures = screens(page, tmp_path / "new", "tall-")
    assert [picture.name for picture in pictures] == ["tall-01.png", "tall-02.png", "tall-03.png"]
    assert all(picture.read_bytes().startswith(b"\x89PNG") for picture in pictures)


def test_nothing_is_left(
    chromium: Browser,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = tmp_path_factory.mktemp("own")  # a JupyterLab of another worker has its folder elsewhere
    monkeypatch.setattr(tempfile, "tempdir", str(own))
    with jupyter_lab(tmp_path) as lab:
        desk = Desk(lab, tmp_path)
        written = desk.write("one.ipynb", "import os; open('mine', 'w').close()").read_bytes()
        with chromium.new_context() as context:
            page = context.new_page()
            lab.open(page, "one.ipynb")
            assert run_all(page) == []
        server = psutil.Process(lab.pid)
        family = [server, *server.children(recursive=True)]
        assert len(family) > 1  # there is a kernel
    assert not any(process.is_running() for process in family)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "one.ipynb"]
    assert (tmp_path / "one.ipynb").read_bytes() == written
    assert list(own.iterdir()) == []
