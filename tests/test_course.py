"""predict(), compare() and quiz(): what they hold, what they show, what they refuse."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from iomodels.course import Question, comparison, predict, prediction, quiz
from iomodels.course.store import WIDGET, main, store

SANITIZE = Path(__file__).with_name("nbval_sanitize.cfg")


@pytest.fixture(autouse=True)
def fresh_kernel() -> Iterator[None]:
    prediction._asked.clear()
    yield
    prediction._asked.clear()


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was displayed, as mime bundles."""
    bundles: list[dict[str, Any]] = []

    def display(thing: Any, raw: bool = False) -> None:
        bundles.append(thing if raw else thing._repr_mimebundle_()[0])

    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setattr("iomodels.course.card.display", display)
    return bundles


# --- predict() ---


def test_the_default_stands_until_a_guess_is_committed(shown: list[dict[str, Any]]) -> None:
    guess = predict("fds", "How many?", unit="fds", default=50)
    assert (guess.value, guess.guess) == (50, None)
    guess.card.guess = 12  # as the page does
    assert (guess.value, guess.guess) == (12, 12)


def test_running_the_cell_again_keeps_the_guess(shown: list[dict[str, Any]]) -> None:
    first = predict("fds", "How many?", default=50)
    first.card.guess = 12
    second = predict("fds", "How many?", default=50)
    assert second.value == 12
    assert first.card.comm is None  # its card is gone from the page


def test_a_guess_that_no_longer_fits_is_dropped(shown: list[dict[str, Any]]) -> None:
    predict("fds", "How many?", default=50).card.guess = 12
    assert predict("fds", "How many?", default=50, low=20).value == 50


def test_two_keys_are_two_guesses(shown: list[dict[str, Any]]) -> None:
    predict("a", "How many?", default=1).card.guess = 5
    assert predict("b", "How many?", default=2).value == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"default": 5, "low": 10, "high": 1}, "low is 10 and high is 1"),
        ({"default": 5, "low": 10}, "the default, 5, is not between low and high"),
        ({"default": "many"}, "for words, give choices"),
        ({"default": float("nan")}, "the default, nan, is not a number"),
        ({"default": 5, "log": True}, "needs low and high"),
        ({"default": 5, "log": True, "low": 0, "high": 9}, "both above 0"),
        ({"default": "c", "choices": ["a", "b"]}, "the default, 'c', is none of the choices"),
        ({"default": "a", "choices": ["a"]}, "give two or more, all different"),
        ({"default": "a", "choices": ["a", "a"]}, "give two or more, all different"),
        ({"default": "a", "choices": ["a", "b"], "low": 1}, "go with a number"),
        ({"default": 5, "question": " "}, "the question is empty"),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(
    arguments: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(says)) as refusal:
        predict("key", arguments.pop("question", "How many?"), **arguments)
    assert "\n" not in str(refusal.value)
    assert "key" in str(refusal.value)


def test_a_key_stands_for_one_question(shown: list[dict[str, Any]]) -> None:
    predict("fds", "How many?", default=50)
    with pytest.raises(ValueError, match=r"'fds'.*already stands for 'How many\?'"):
        predict("fds", "How much?", default=50)


def test_a_card_is_the_same_in_every_run(shown: list[dict[str, Any]]) -> None:
    for guess in (None, 12):
        card = predict("fds", "How many `fds`, <really>?", unit="fds", default=50).card
        card.guess = guess
    for bundle in shown:
        assert bundle.pop(WIDGET)["model_id"]
        assert sorted(bundle) == ["text/html", "text/plain"]
        assert bundle["text/plain"] == "<prediction fds>"
    assert shown[0] == shown[1]
    assert "How many <code>fds</code>, &lt;really&gt;?" in shown[0]["text/html"]


def test_the_card_without_a_kernel_lists_the_choices(shown: list[dict[str, Any]]) -> None:
    predict("c", "Which?", choices=["`poll`", "both"], default="both")
    assert "<li><code>poll</code></li><li>both</li>" in shown[0]["text/html"]


# --- compare() ---


@pytest.mark.parametrize(
    ("guess", "found", "says"),
    [
        (50, 812, "16 times as much"),
        (812, 50, "16 times less"),
        (50, 121, "2.4 times as much"),
        (1, 1_234_567, "1,200,000 times as much"),
        (10, 20, "2 times as much"),
        (100, 108, "8 % more"),
        (100, 92, "8 % less"),
        (1000, 1001, "nearly the same"),
        (50, 50, "the same"),
        (0, 812, "812 more"),
        (5, 0, "5 less"),
        (-2, 3, "5 more"),
    ],
)
def test_the_sentence_is_computed(guess: float, found: float, says: str) -> None:
    assert comparison.relation(guess, found) == says


@pytest.mark.parametrize(
    ("value", "unit", "says"),
    [
        (1, "switches", "1 switch"),
        (1.0, "calls", "1 call"),
        (1, "messages per second", "1 message per second"),
        (2, "calls", "2 calls"),
        (1, "ms", "1 ms"),
        (1, "s", "1 s"),
        (1, "of 5", "1 of 5"),
        (1, "", "1"),
    ],
)
def test_one_of_many_is_in_the_singular(value: float, unit: str, says: str) -> None:
    assert comparison.amount(value, unit) == says


def html_of(shown: list[dict[str, Any]]) -> str:
    bundle = shown[-1]
    assert sorted(bundle) == ["text/html", "text/plain"]
    html: str = bundle["text/html"]
    return html


def test_guess_and_measurement_stand_in_one_sentence_and_in_the_alt_text(
    shown: list[dict[str, Any]],
) -> None:
    guess = predict("fds", "How many?", unit="fds", default=50)
    guess.compare(812.4, note="See `/proc`.")
    said = "No guess was committed: the default was 50 fds; measured 812 fds: 16 times as much."
    assert said in html_of(shown)
    assert "See <code>/proc</code>." in html_of(shown)
    assert shown[-1]["text/plain"] == "<prediction fds: compared>"

    guess.card.guess = 1000
    guess.compare(812, unit="descriptors")
    said = "You guessed 1,000 descriptors; measured 812 descriptors: 19 % less."
    assert html_of(shown).count(f"linear scale from zero. {said}") == 2  # light and dark


def test_a_choice_was_right_or_not(shown: list[dict[str, Any]]) -> None:
    guess = predict("c", "Which?", choices=["`poll`", "both"], default="both")
    guess.compare("`poll`")
    assert "✗ No guess was committed: the default was “both”. It is “<code>poll</code>”." in (
        html_of(shown)
    )
    guess.card.guess = "`poll`"
    guess.compare("`poll`", note="Because.")
    assert "✓ You said “<code>poll</code>”: right." in html_of(shown)
    assert "Because." in html_of(shown)


def test_only_what_can_be_compared_is(shown: list[dict[str, Any]]) -> None:
    number = predict("n", "How many?", default=5)
    for wrong in (float("nan"), float("inf"), "5"):
        with pytest.raises(ValueError, match="not a finite number"):
            number.compare(wrong)
    choice = predict("c", "Which?", choices=["a", "b"], default="a")
    with pytest.raises(ValueError, match="'c' is none of the choices, 'a', 'b'"):
        choice.compare("c")


def test_figures_of_numpy_are_figures(shown: list[dict[str, Any]]) -> None:
    numpy = pytest.importorskip("numpy")
    guess = predict("n", "How many?", default=50)
    guess.compare(numpy.int64(123_456))
    assert "measured 123,456:" in html_of(shown)
    guess.compare(numpy.float64(61.25))
    assert "measured 61.2:" in html_of(shown)


def texts(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]+)</text>", svg)


def test_within_a_decade_the_bars_begin_at_zero() -> None:
    svg = comparison.chart("your guess", 50, 67, "fds")
    assert texts(svg) == [
        "your guess", "50", "measured", "67", "0", "20", "40", "60", "80", "fds",
    ]  # fmt: skip
    bars = re.findall(r'<rect x="([\d.]+)" y="\d+" width="([\d.]+)"', svg)
    assert [float(x) for x, _ in bars] == [comparison.LEFT] * 2
    assert float(bars[1][1]) / float(bars[0][1]) == pytest.approx(67 / 50, rel=0.01)


def test_further_apart_they_are_dots_on_a_log_axis() -> None:
    svg = comparison.chart("default", 100, 10_100, "µs")
    assert texts(svg)[4:] == ["10", "100", "1,000", "10,000", "100,000", "µs · log scale"]
    assert svg.count("<circle") == 2
    assert "<rect" not in svg


@pytest.mark.parametrize(
    ("guess", "found"),
    [(0, 0), (1, 1e12), (1e-9, 5), (-5, 3), (0.001, 0.0011), (1e15, 1e15), (0, 1e-7), (7, 70)],
)
def test_every_pair_of_figures_has_a_chart_that_fits(guess: float, found: float) -> None:
    svg = comparison.chart("your guess", guess, found, "fds")
    for x in re.findall(r' (?:x|cx)="([-\d.]+)"', svg):
        assert 0 <= float(x) <= comparison.WIDTH
    ticks = texts(svg)[4:-1]
    assert 2 <= len(ticks) <= 8
    assert len(set(ticks)) == len(ticks)


# --- quiz() ---

EOF = Question(
    "What are `0` bytes?",
    {"nothing yet": "That is `EAGAIN`.", "the end": "It is EOF."},
    right="the end",
)


def test_every_answer_has_its_explanation_in_the_order_written(
    shown: list[dict[str, Any]],
) -> None:
    quiz(EOF)
    html = shown[0]["text/html"]
    assert shown[0]["text/plain"] == "<quiz: 1 question>"
    assert [part.split("</details>")[0] for part in html.split("<details>")[1:]] == [
        "<summary>nothing yet</summary><p><b>No.</b> That is <code>EAGAIN</code>.</p>",
        "<summary>the end</summary><p><b>Right.</b> It is EOF.</p>",
    ]


def test_a_quiz_is_the_same_in_every_run(shown: list[dict[str, Any]]) -> None:
    quiz(EOF, EOF)
    quiz(EOF, EOF)
    first, second = ({k: v for k, v in bundle.items() if k != WIDGET} for bundle in shown)
    assert first == second
    assert first["text/plain"] == "<quiz: 2 questions>"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("Why?", {"a": "x", "b": "y"}, "c"), "right is 'c', which is none of the answers"),
        (("Why?", {}, "a"), "give two answers or more, there are 0"),
        (("Why?", {"a": "x"}, "a"), "give two answers or more, there are 1"),
        (("Why?", {"a": "x", "b": " "}, "a"), "the answer 'b' needs a text and an explanation"),
        (("Why?", {"a": "x", "": "y"}, "a"), "the answer '' needs a text and an explanation"),
        ((" ", {"a": "x", "b": "y"}, "a"), "the text is empty"),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused(arguments: Any, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)) as refusal:
        Question(*arguments)
    assert "\n" not in str(refusal.value)


def test_a_quiz_without_questions_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no question"):
        quiz()


# --- stored notebooks, and strict nbval ---

LESSON = """
import random
from iomodels.course import Question, predict, quiz
from iomodels.views import style
fds = predict("fds", "How many `fds`?", unit="fds", default=50)
---
fds.compare(random.randrange(10**6), note=f"{random.random()}")
---
which = predict("which", "Which?", choices=["a", "b"], default="a")
which.compare(random.choice("ab"))
---
style.say(f"It took {random.random()} seconds.")
---
figure = style.figure()
figure.subplots().plot([1, 2, 3], [random.random() for _ in range(3)])
style.show(figure, f"A line that ends at {random.random()}")
---
quiz(Question("Why?", {"a": "x", "b": "y"}, right="a"))
"""


def write(path: Path, *cells: str) -> Path:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, path)
    return path


def nbval(path: Path) -> subprocess.CompletedProcess[str]:
    plugins = ["-p", "tests.kernels", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", "-q", *plugins, "-c", "/dev/null"]
    options = ["--nbval", f"--nbval-sanitize-with={SANITIZE}", "--nbval-cell-timeout=120"]
    return subprocess.run(
        [*command, f"--rootdir={path.parent}", *options, str(path)], capture_output=True, text=True
    )


def test_a_lesson_is_stored_without_widgets_and_passes_strict_nbval(tmp_path: Path) -> None:
    path = write(tmp_path / "lesson.ipynb", *LESSON.split("---\n"))
    assert main([str(path)]) == 0
    stored = nbformat.read(path, as_version=4)
    assert "widgets" not in stored.metadata
    outputs = [output for cell in stored.cells for output in cell.outputs]
    assert [sorted(output.data) for output in outputs] == [["text/html", "text/plain"]] * 7
    assert all(cell.execution_count for cell in stored.cells)

    # A style sheet may have become another one since.
    path.write_text(path.read_text().replace(".io-card {", ".io-card { top: 0;"))
    result = nbval(path)
    assert result.returncode == 0, result.stdout
    assert "6 passed" in result.stdout

    # The test can fail: what is not measured is compared.
    path.write_text(path.read_text().replace("How many <code>", "How few <code>"))
    assert nbval(path).returncode == 1


def test_a_notebook_that_fails_is_not_stored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "fails.ipynb", "1 / 0")
    before = path.read_bytes()
    assert main([str(path)]) == 1
    assert path.read_bytes() == before
    assert "fails.ipynb: not stored, a cell failed" in capsys.readouterr().err


def test_a_cell_that_does_not_end_is_said_to_take_too_long(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iomodels.course.store.CELL_WITHIN", 1)
    path = write(tmp_path / "waits.ipynb", "import time; time.sleep(600)")
    assert main([str(path)]) == 1
    assert capsys.readouterr().err == f"{path}: not stored, a cell took longer than 1 s\n"


def test_what_is_no_notebook_is_named_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.ipynb"
    text.write_text("no JSON")
    assert main(["missing.ipynb", str(text)]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "missing.ipynb: not stored, No such file or directory",
        f"{text}: not stored, this is not a notebook",
    ]
    assert main([]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_notebook_runs_in_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(
        tmp_path / "here.ipynb", "import os; open(os.path.join(os.getcwd(), 'mark'), 'w').close()"
    )
    store(Path("here.ipynb"))
    assert (tmp_path / "mark").exists()


CONNECTING = """
kept = 1
def connecting():
    sock = socket.socket()
    try:
        raise {0}
    except {0}:
        other = socket.socket()
        raise KeyboardInterrupt
connecting()
"""


@pytest.mark.parametrize("first", ["KeyboardInterrupt", "OSError"])
def test_an_interrupted_cell_leaves_no_descriptor(first: str) -> None:
    code = f"""
import contextlib, io, os
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
shell.run_cell("import iomodels.course, socket")
before = os.listdir("/proc/self/fd")
with contextlib.redirect_stdout(io.StringIO()):
    shell.run_cell({CONNECTING.format(first)!r})
print(len(os.listdir("/proc/self/fd")) - len(before), shell.user_ns["kept"])
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "0 1\n"
