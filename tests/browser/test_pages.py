"""The page of calls is one page when it is printed, and nothing on it is cut off."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Page

CALLS = Path(__file__).parents[2] / "docs" / "calls.html"


def test_the_calls_are_printed_on_one_page(offline: Page) -> None:
    page = offline
    page.goto(CALLS.as_uri())
    printed = page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 1


def test_the_calls_fit_into_a_window(offline: Page) -> None:
    page = offline
    page.goto(CALLS.as_uri())
    page.set_viewport_size({"width": 1280, "height": 800})
    wide = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert wide[0] <= wide[1]
