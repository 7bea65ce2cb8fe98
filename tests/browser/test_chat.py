"""The chat's page in a real browser: two tabs on one server hear each other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from iomodels.measure.serving import serving
from tests.browser.lab import watch

# Where to leave a picture of both tabs; nowhere, if it is not set.
PICTURES = os.environ.get("IOMODELS_PICTURES")


@pytest.fixture
def tabs(chromium: Browser) -> Iterator[tuple[Page, Page]]:
    """Two empty tabs, which must log no error."""
    with chromium.new_context(viewport={"width": 640, "height": 760}) as context:
        pages = context.new_page(), context.new_page()
        problems = [watch(page) for page in pages]
        yield pages
        assert problems == [[], []]


def join(page: Page, address: tuple[str, int], name: str) -> None:
    page.goto(f"http://{address[0]}:{address[1]}/")
    expect(page.get_by_text("Connected. Say who you are.")).to_be_visible()
    page.get_by_role("textbox", name="Your name").fill(name)
    page.keyboard.press("Enter")
    expect(page.get_by_text(f"You are {name}.")).to_be_visible()


@pytest.mark.parametrize("model", ["epoll", "threads", "processes"])
def test_two_tabs_hear_each_other(model: str, tabs: tuple[Page, Page]) -> None:
    ann, bob = tabs
    with serving(model, "chat") as server:
        join(ann, server.address, "Ann")
        join(bob, server.address, "Bob")
        expect(ann.get_by_text("* Bob has come")).to_be_visible()
        ann.get_by_role("textbox", name="Say something").fill("Grüße ☺ <b>not bold</b>: really")
        ann.keyboard.press("Enter")
        for page in tabs:
            log = page.get_by_role("log")
            expect(log).to_contain_text("Ann: Grüße ☺ <b>not bold</b>: really")
        long = "x" * 200
        bob.get_by_role("textbox", name="Say something").fill(long)
        bob.get_by_role("button", name="Send").click()
        expect(ann.get_by_role("log")).to_contain_text(f"Bob: {long}")
        assert ann.get_by_role("log").evaluate("(e) => e.scrollWidth <= e.clientWidth")
        # The frames: Ann's was sent with a mask, and came back without one.
        frames = ann.get_by_role("list", name="Frames")
        expect(frames).to_contain_text("→ 81 a3 ?? ?? ?? ?? (masked) 47 72 c3 bc")
        expect(frames).to_contain_text("← 81 28 41 6e 6e 3a 20 47 72 c3 bc")
        expect(frames).to_contain_text("← 81 7e 00 cd")
        if PICTURES:
            for name, page in zip(("ann", "bob"), tabs, strict=True):
                page.screenshot(path=Path(PICTURES, f"chat-{model}-{name}.png"))
        bob.close()
        expect(ann.get_by_text("* Bob has gone")).to_be_visible()
    expect(ann.get_by_text("The connection has ended")).to_be_visible()
