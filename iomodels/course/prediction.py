"""A guess before a measurement: `predict()` asks, `compare()` shows guess and measurement together.

The learner commits to a guess on a card and then runs on. Nothing waits for it: where nobody
answers (a test, an export, Run All) the default stands in, and `compare()` says so.

A guess lives in the kernel's memory, under its key. Running the cell again keeps it; restarting
the kernel forgets it, as it forgets everything else. So no file is left behind, and the next class
starts with an empty card.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import traitlets
from IPython.core.getipython import get_ipython

from iomodels.course import comparison
from iomodels.course.card import SHEET, Card, frame, module
from iomodels.views import style
from iomodels.views.style import inline, number

_asked: dict[str, Prediction] = {}  # by key, the one whose card was shown last


def predict(
    key: str,
    question: str,
    *,
    unit: str = "",
    default: float | str,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[str] = (),
    log: bool = False,
) -> Prediction:
    """Ask a question on a card, and return the prediction that will hold the answer.

    `key` names the question in this kernel. The answer is a number, in `unit`, from `low` to
    `high` where these are given; with `log` there is also a slider from one to the other on a log
    scale. With `choices` the answer is one of them. `default` stands in where nobody answers. In
    `question` and `choices`, `code` is code.

    Raises ValueError when these do not go together, or when the key already stands for another
    question.
    """
    before = _asked.get(key)
    if before and before.question != question:
        raise ValueError(
            f"predict({key!r}): this key already stands for {before.question!r}; give the question"
            " a key of its own (or restart the kernel, if it was only reworded)"
        )
    prediction = Prediction(key, question, unit, default, low, high, tuple(choices), log)
    if before:
        if prediction.problem(before.value) is None:
            prediction.card.guess = before.guess
        before.card.close()
    _asked[key] = prediction
    prediction._ipython_display_()
    return prediction


class _PredictionCard(Card):
    _esm = module("prediction.js")
    question = traitlets.Unicode().tag(sync=True)
    unit = traitlets.Unicode().tag(sync=True)
    low = traitlets.Float(None, allow_none=True).tag(sync=True)
    high = traitlets.Float(None, allow_none=True).tag(sync=True)
    log = traitlets.Bool().tag(sync=True)
    choices: traitlets.List[Any] = traitlets.List().tag(sync=True)
    guess = traitlets.Any(None, allow_none=True).tag(sync=True)  # the page sets it


@dataclass(eq=False, repr=False)
class Prediction:
    """A question, and the guess that stands for it now. `predict()` makes it and says what is what.

    Raises ValueError when the fields do not go together.
    """

    key: str
    question: str
    unit: str
    default: float | str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    log: bool

    def __post_init__(self) -> None:
        problem = self.problem(self.default)
        if problem:
            raise ValueError(f"predict({self.key!r}): {problem}")
        self._shown_in: int | None = None
        self.card = _PredictionCard(
            static=self._static(),
            text=repr(self),
            question=inline(self.question),
            unit=self.unit,
            low=self.low,
            high=self.high,
            log=self.log,
            choices=[{"value": choice, "html": inline(choice)} for choice in self.choices],
        )

    def problem(self, value: float | str) -> str | None:
        """Why the question cannot be asked with this default, or None."""
        low, high, choices = self.low, self.high, self.choices
        if not self.question.strip():
            return "the question is empty"
        if choices:
            if len(set(choices)) != len(choices) or len(choices) < 2:
                return f"choices are {choices!r}; give two or more, all different"
            if low is not None or high is not None or self.log:
                return "low, high and log go with a number, not with choices"
            return None if value in choices else f"the default, {value!r}, is none of the choices"
        if not isinstance(value, Real) or not math.isfinite(value):
            return f"the default, {value!r}, is not a number; for words, give choices"
        if low is not None and high is not None and low >= high:
            return f"low is {number(low)} and high is {number(high)}; low must be the smaller one"
        if self.log and (low is None or high is None or low <= 0):
            return "a slider on a log scale needs low and high, both above 0"
        if (low is not None and value < low) or (high is not None and value > high):
            return f"the default, {value}, is not between low and high"
        return None

    @property
    def guess(self) -> float | str | None:
        """What the learner has committed to; None before that."""
        guess: float | str | None = self.card.guess
        return guess

    @property
    def value(self) -> float | str:
        """The guess, or the default as long as there is none."""
        return self.default if self.guess is None else self.guess

    def compare(self, measured: float | str, *, unit: str | None = None, note: str = "") -> None:
        """Show the guess beside what was measured: one chart and one sentence.

        `measured` is a number, or the right one of the choices. `unit` is written in place of the
        prediction's own. `note` explains; `code` in it is code.

        Raises ValueError when `measured` is none of the choices, or not a finite number.
        """
        guess, committed = self.value, self.guess is not None
        if self.choices:
            if measured not in self.choices:
                choices = ", ".join(map(repr, self.choices))
                raise ValueError(f"compare(): {measured!r} is none of the choices, {choices}")
            result = comparison.of_choices(str(guess), str(measured), committed)
        else:
            if not isinstance(measured, Real) or not math.isfinite(measured):
                raise ValueError(f"compare(): {measured!r} is not a finite number")
            assert not isinstance(guess, str)
            unit = self.unit if unit is None else unit
            result = comparison.of_numbers(guess, _plain(measured), unit, committed)
        asked = f'<p class="io-asked-before">{inline(self.question)}</p>'
        explanation = f'<p class="io-note">{inline(note)}</p>' if note else ""
        card = frame("Guess and measurement", asked + result + explanation)
        style.output(style.measured(card), f"<prediction {self.key}: compared>", SHEET)

    def __repr__(self) -> str:
        return f"<prediction {self.key}>"

    def _ipython_display_(self) -> None:
        # Not a second time when the call of predict() is also the last expression of its cell.
        shell = get_ipython()
        cell = shell.execution_count if shell else None
        if cell is None or cell != self._shown_in:
            self._shown_in = cell
            self.card.show()

    def _static(self) -> str:
        """The card where there is no kernel."""
        if self.choices:
            answer = f"<ul>{''.join(f'<li>{inline(choice)}</li>' for choice in self.choices)}</ul>"
        else:
            answer = f"<p>your guess: ______ {html.escape(self.unit)}</p>"
        return frame(
            "Predict",
            f'<p class="io-question">{inline(self.question)}</p>{answer}'
            '<p class="io-status">Run the cell to commit to a guess.</p>',
        )


def _plain(figure: Real) -> float:
    """A number of any library as Python's own; a whole one stays whole."""
    return int(figure) if hasattr(figure, "__index__") else float(figure)
