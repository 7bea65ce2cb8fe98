"""predict() and quiz() in a real JupyterLab, by keyboard, and where there is no kernel."""

from __future__ import annotations

import re
import subprocess
import sys

from playwright.sync_api import Page, expect

from iomodels.course.store import store
from tests.browser.conftest import Desk
from tests.browser.lab import run_all, theme

NUMBER = """from iomodels.course import predict
guess = predict("n", "How many `fds`?", unit="fds", default=50, low=1, high=1_000_000)"""
SLIDER = """from iomodels.course import predict
guess = predict("s", "How long?", unit="µs", default=50, low=1, high=1_000_000, log=True)"""
CHOICES = """from iomodels.course import predict
guess = predict("c", "Which?", choices=["`poll`", "`epoll`", "both"], default="`poll`")"""
COMPARE = "guess.compare(812, note='Counted in `/proc/self/fd`.')"
QUIZ = """from iomodels.course import Question, quiz
quiz(
    Question("What are 0 bytes?", {"nothing yet": "That is `EAGAIN`.", "the end": "It is EOF."},
             right="the end"),
    Question("Which number?", {"the lowest": "POSIX says so.", "the next": "Not if one is free."},
             right="the lowest"),
)"""


def start(desk: Desk, page: Page, name: str, *cells: str) -> None:
    desk.lab.open(page, desk.write(name, *cells).name)
    assert run_all(page) == []


def active_cell(page: Page) -> int:
    index: int = page.evaluate("jupyterapp.shell.currentWidget.content.activeCellIndex")
    return index


def test_a_number_is_typed_and_committed_and_outlives_a_second_run(desk: Desk, page: Page) -> None:
    start(desk, page, "number.ipynb", NUMBER, COMPARE)
    expect(page.get_by_text("No guess was committed: the default was 50 fds")).to_be_visible()

    box = page.get_by_role("textbox", name="How many fds?")
    box.focus()
    page.keyboard.type("10,000")
    page.keyboard.press("Enter")
    expect(page.get_by_text("✓ committed")).to_be_visible()
    expect(page.get_by_text("10,000 fds")).to_be_visible()
    expect(page.get_by_role("button", name="Change")).to_be_focused()

    assert run_all(page) == []
    expect(page.get_by_text("✓ committed")).to_be_visible()
    said = "You guessed 10,000 fds; measured 812 fds: 12 times less."
    expect(page.get_by_text(said, exact=True)).to_be_visible()
    expect(page.get_by_role("img", name=said)).to_be_visible()
    expect(page.get_by_text("Counted in /proc/self/fd.")).to_be_visible()


def test_what_is_not_a_number_in_the_range_is_said_and_not_committed(
    desk: Desk, page: Page
) -> None:
    start(desk, page, "range.ipynb", NUMBER, COMPARE)
    box = page.get_by_role("textbox", name="How many fds?")
    status = page.locator(".io-status")
    for typed, answer in [
        ("", "Give a number, as in 250, 10,000 or 1e6."),
        ("many", "Give a number, as in 250, 10,000 or 1e6."),
        ("1,5", "Give a number, as in 250, 10,000 or 1e6."),
        ("0", "Give a number from 1 up."),
        ("2e6", "Give a number up to 1,000,000."),
    ]:
        box.fill(typed)
        box.press("Enter")
        expect(status).to_have_text(answer)
        expect(box).to_be_focused()
    assert run_all(page) == []
    expect(page.get_by_text("No guess was committed")).to_be_visible()


def test_the_slider_goes_by_1_2_5_with_the_arrows(desk: Desk, page: Page) -> None:
    start(desk, page, "slider.ipynb", SLIDER, COMPARE)
    slider, box = page.get_by_role("slider"), page.get_by_role("textbox", name="How long?")
    expect(box).to_have_value("")
    slider.focus()
    for value in ("2,000", "5,000", "10,000"):
        page.keyboard.press("ArrowRight")
        expect(box).to_have_value(value)
    expect(slider).to_have_attribute("aria-valuetext", "10,000 µs")
    page.keyboard.press("ArrowDown")  # JupyterLab's own key for the next cell
    expect(box).to_have_value("5,000")
    assert active_cell(page) == 0
    page.keyboard.press("Enter")
    expect(page.get_by_text("5,000 µs")).to_be_visible()


def test_a_choice_is_picked_with_the_arrows(desk: Desk, page: Page) -> None:
    start(desk, page, "choices.ipynb", CHOICES, "guess.compare('`epoll`')")
    expect(page.get_by_text("✗ No guess was committed: the default was “poll”")).to_be_visible()
    page.get_by_role("radio").first.focus()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("radio", name="epoll", exact=True)).to_be_checked()
    page.keyboard.press("Enter")
    expect(page.get_by_text("✓ committed")).to_be_visible()
    assert run_all(page) == []
    expect(page.get_by_text("✓ You said “epoll”: right.")).to_be_visible()


def test_a_quiz_is_read_and_answered_with_the_keyboard(desk: Desk, page: Page) -> None:
    start(desk, page, "quiz.ipynb", QUIZ)
    expect(page.get_by_text("0 of 2 answered")).to_be_visible()
    wrong = page.get_by_role("radio", name="nothing yet")
    right = page.get_by_role("radio", name="the end")
    wrong.focus()
    page.keyboard.press("ArrowDown")
    expect(right).to_be_focused()
    expect(right).not_to_be_checked()  # to read is not to answer
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    expect(wrong).to_be_checked()
    expect(page.locator(".io-why").first).to_have_text("No. That is EAGAIN.")
    expect(page.get_by_text("1 of 2 answered")).to_be_visible()

    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(right).to_be_checked()
    expect(wrong).not_to_be_checked()
    expect(page.locator(".io-why").first).to_have_text("Right. It is EOF.")
    expect(page.locator("[aria-live=polite]", has_text="It is EOF.")).to_be_visible()
    page.keyboard.press("Tab")  # on to the next question
    expect(page.get_by_role("radio", name="the lowest")).to_be_focused()
    expect(page.get_by_text("1 of 2 answered")).to_be_visible()


def test_shift_enter_in_a_card_still_runs_the_cell(desk: Desk, page: Page) -> None:
    start(desk, page, "keys.ipynb", QUIZ, "'second'")
    page.get_by_role("radio", name="the end").focus()
    page.keyboard.press("Space")
    expect(page.get_by_text("1 of 2 answered")).to_be_visible()
    page.keyboard.press("Shift+Enter")
    expect(page.get_by_text("0 of 2 answered")).to_be_visible()  # a fresh card
    assert active_cell(page) == 1


def test_a_question_shows_once_as_the_last_expression(desk: Desk, page: Page) -> None:
    cell = 'from iomodels.course import predict\npredict("last", "How many?", default=1)'
    start(
        desk,
        page,
        "last.ipynb",
        cell,
        "from iomodels.course.prediction import _asked\n_asked['last']",
    )
    expect(page.locator(".jp-Notebook-cell").nth(0).locator(".io-card")).to_have_count(1)
    expect(page.locator(".jp-Notebook-cell").nth(1).locator(".io-card")).to_have_count(1)


def test_pictures_follow_the_theme(desk: Desk, page: Page) -> None:
    start(desk, page, "theme.ipynb", NUMBER, COMPARE)
    for dark in (True, False):
        theme(page, dark)
        expect(page.locator("img.io-dark")).to_be_visible(visible=dark)
        expect(page.locator("img.io-light")).to_be_visible(visible=not dark)
        expect(page.get_by_role("img", name="measured 812 fds")).to_have_count(1)


def test_a_stored_notebook_reads_well_before_it_is_run(desk: Desk, page: Page) -> None:
    """JupyterLab does not trust it yet: no style sheet, no widget; text and pictures stay."""
    path = desk.write("stored.ipynb", NUMBER, COMPARE, QUIZ)
    store(path)
    desk.lab.open(page, path.name)
    expect(page.get_by_text("Run the cell to commit to a guess.")).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("default was 50 fds.*812"))).to_be_visible()
    expect(page.locator("img:visible[alt*='812']")).to_have_count(1)
    page.locator("summary", has_text="nothing yet").click()
    expect(page.get_by_text("No. That is EAGAIN.")).to_be_visible()
    expect(page.get_by_text("model not found")).to_have_count(0)


def test_an_exported_page_needs_no_kernel(desk: Desk, offline: Page) -> None:
    page = offline
    path = desk.write("exported.ipynb", NUMBER, COMPARE, QUIZ)
    store(path)
    subprocess.run(
        [sys.executable, "-m", "nbconvert", "--to", "html", "--theme", "dark", path], check=True
    )
    page.route(re.compile("^https?:"), lambda route: route.fulfill(body=""))  # there is no network
    page.goto(path.with_suffix(".html").as_uri(), wait_until="domcontentloaded")
    expect(page.get_by_text("How many fds?").first).to_be_visible()
    expect(page.locator("img.io-dark")).to_be_visible()
    expect(page.locator("img.io-light")).not_to_be_visible()
    page.locator("summary", has_text="the end").click()
    expect(page.get_by_text("Right. It is EOF.")).to_be_visible()
