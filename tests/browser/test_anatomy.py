"""The anatomy of a frame: its bits and fields, by pointer and by keyboard, with no script too."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from anywidget import AnyWidget
from playwright.sync_api import Page, expect

from iomodels.course.store import store
from iomodels.views.anatomy import anatomy
from iomodels.websocket.anatomy import dissect, from_hex
from tests.browser.axe import serious_faults
from tests.browser.conftest import Desk
from tests.browser.lab import run_all

HELLO = "81 85 37 fa 21 3d 7f 9f 4d 51 58"


def show(page: Page, folder: Path, data: str | bytes, theme: str = "light") -> Page:
    bundle, _ = anatomy(data)._repr_mimebundle_()
    file = folder / "frame.html"
    file.write_text(
        f'<!doctype html><html lang="en" data-theme="{theme}"><meta charset="utf-8">'
        f"<title>frame</title><body><main>{bundle['text/html']}</main></body></html>"
    )
    page.goto(file.as_uri())
    expect(page.locator(".anatomy")).to_be_visible()
    return page


def marked(page: Page, what: str) -> str:
    return "".join(page.locator(f"{what}.marked").all_inner_texts())


def test_every_bit_of_the_head_belongs_to_its_field(offline: Page, tmp_path: Path) -> None:
    page = show(offline, tmp_path, HELLO)
    parts = next(iter(dissect(from_hex(HELLO)))).parts
    rows = page.locator("tr[data-part]")
    assert rows.count() == len(parts)
    for row, part in zip(rows.all(), parts, strict=True):
        row.hover()
        assert marked(page, ".bit") == part.bits
        assert marked(page, "tr").startswith(part.name)
    page.locator(".bit").nth(1).hover()
    assert marked(page, "tr").startswith("RSV1")
    page.locator(".byte").last.hover()
    assert "payload, masked" in marked(page, "tr")


def test_arrows_go_from_field_to_field(offline: Page, tmp_path: Path) -> None:
    page = show(offline, tmp_path, HELLO)
    page.keyboard.press("Tab")
    for key, name in [("ArrowDown", "RSV1"), ("End", "payload"), ("ArrowDown", "payload"),
                      ("Home", "FIN"), ("ArrowUp", "FIN"), ("ArrowRight", "RSV1")]:  # fmt: skip
        page.keyboard.press(key)
        assert marked(page, "tr").startswith(name), key
    page.keyboard.press("Tab")  # out of it: one stop for the whole frame
    assert marked(page, "tr") == ""


def test_what_is_wrong_is_said_and_text_is_not_markup(offline: Page, tmp_path: Path) -> None:
    page = show(offline, tmp_path, b"\x81\x14<img src=x>& \xff\x00\x01")
    expect(page.locator(".anatomy img")).to_have_count(0)
    expect(page.locator(".frame")).to_contain_text("bytes are still to come")
    with pytest.raises(ValueError, match="not hexadecimal"):
        anatomy("xyz")
    with pytest.raises(ValueError, match="no bytes"):
        anatomy(b"")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_serious_fault(theme: str, offline: Page, tmp_path: Path) -> None:
    page = show(offline, tmp_path, f"{HELLO} 89 02 68 69", theme)
    page.locator("tr[data-part]").nth(3).hover()
    assert serious_faults(page) == []


def test_in_a_notebook_live_and_stored(desk: Desk, page: Page) -> None:
    shown = anatomy(HELLO)
    assert isinstance(shown, AnyWidget)
    assert repr(shown) == "anatomy: a text message, from a client"
    cells = (
        f"from iomodels.views.anatomy import anatomy\nanatomy({HELLO!r})",
        f"import ipywidgets\nipywidgets.VBox([anatomy({HELLO!r})])",
    )
    path = desk.write("anatomy.ipynb", *cells)
    desk.lab.open(page, path.name)
    assert run_all(page) == []
    expect(page.locator(".anatomy")).to_have_count(2)
    for one in page.locator(".frame").all():
        one.locator("tr[data-part]").first.focus()
        page.keyboard.press("End")
        expect(one.locator("tr.marked")).to_have_text(re.compile("payload"))
    page.goto("about:blank")

    store(path)  # as it is handed out: not yet trusted, no script, no style sheet
    desk.lab.open(page, path.name)
    expect(page.get_by_text("masked, as a client must").first).to_be_visible()
    expect(page.get_by_text('"Hello"').first).to_be_visible()
