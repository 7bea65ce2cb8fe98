"""`check()`: is the answer to an exercise right, and if not, what is wrong with it?

    check(recv_exactly, *recv_exactly_cases.CASES)

Each case is a function that calls the answer in some situation and raises `Wrong` with words for
the learner. It runs in a process of its own (trial.py), so that an endless loop ends as "took
longer than 5 s" and not as a hung notebook. A card lists what became of each. When one fails, an
exception follows, for that is how nbgrader sees that there are no points; in a notebook it is one
line and no traceback.
"""

from __future__ import annotations

import html
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from iomodels.course.trial import Case, Verdict, Wrong, trial
from iomodels.views import style

__all__ = ["CheckFailed", "Wrong", "check"]


class CheckFailed(AssertionError):
    """An answer is wrong, or not written yet; the text says so in one line."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows in place of a traceback, which would lead into this package."""
        return [str(self)]


def check(
    answers: Callable[..., Any] | tuple[Callable[..., Any], ...],
    *cases: Case,
    seconds: float = 5.0,
) -> None:
    """Try the answer, or all of a tuple of them, in each case, and show what became of it.

    Each case has `seconds`. When one has taken them all, or the answer is not written yet, the
    cases after it are not tried.

    Raises CheckFailed when a case fails, and where it cannot be told: check() needs Linux.
    """
    if sys.platform != "linux":
        raise CheckFailed(f"check() needs Linux; this is {sys.platform}.")
    together = answers if isinstance(answers, tuple) else (answers,)
    if not cases or not together or not all(map(callable, together)):
        raise TypeError("check() takes a function, or a tuple of them, and then one case or more")
    verdicts: list[Verdict] = []
    for case in cases:
        verdicts.append(trial(case, together, seconds))
        if verdicts[-1].kind in ("late", "unwritten"):
            break
    _show(verdicts, len(cases) - len(verdicts))
    if failed := [verdict for verdict in verdicts if verdict.problem]:
        raise CheckFailed(_in_one_line(failed, len(cases)))


def _in_one_line(failed: list[Verdict], cases: int) -> str:
    first = failed[0]
    if first.kind == "unwritten":
        return "Not written yet."
    if cases == 1:
        return f"{first.title}: {first.problem}."
    count = "1 case fails" if len(failed) == 1 else f"{len(failed)} cases fail; the first"
    return f"{count}: {first.title}: {first.problem}."


# --- the card ---


def _show(verdicts: list[Verdict], untried: int) -> None:
    """The card in a notebook, the same as text in a terminal."""
    passed = sum(not verdict.problem for verdict in verdicts)
    if verdicts[-1].kind == "unwritten":
        verdict = "Not written yet: the stub still raises `NotImplementedError`."
    elif passed == len(verdicts):
        verdict = "1 case passes." if passed == 1 else f"All {passed} cases pass."
    else:
        verdict = f"{passed} of {len(verdicts) + untried} cases pass."
        if untried:
            verdict += f" {untried} after that {'was' if untried == 1 else 'were'} not tried."
    plain = "\n".join([verdict, *map(_plain, verdicts)])
    if in_ipython():
        right = passed == len(verdicts)
        style.output(_card(verdicts, verdict, right), plain, _SHEET)
    else:
        print(plain)


def in_ipython() -> bool:
    """Whether a notebook's kernel, or another IPython, runs this: it can show a card."""
    get = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return get is not None and get() is not None


def _plain(verdict: Verdict) -> str:
    if not verdict.problem:
        line = f"✓ {verdict.title}"
    else:
        line = f"✗ {verdict.title}: {verdict.problem}"
    printed = [f"    | {line}" for line in verdict.printed.splitlines()]
    return "\n".join([line, *printed])


_SHEET = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")


def _card(verdicts: list[Verdict], said: str, right: bool) -> str:
    def item(verdict: Verdict) -> str:
        wrong = bool(verdict.problem)
        mark = (
            '<b class="io-sign" aria-label="fails">✗</b>'
            if wrong
            else ('<b class="io-sign" aria-label="passes">✓</b>')
        )
        problem = f'<p class="io-problem">{style.inline(verdict.problem)}</p>' if wrong else ""
        printed = ""
        if verdict.printed:
            text = html.escape(verdict.printed)
            printed = f'<p class="io-printed">printed:</p><pre>{text}</pre>'
        return (
            f'<li class="{"io-wrong" if wrong else "io-right"}">{mark}'
            f"<div><p>{style.inline(verdict.title)}</p>{problem}{printed}</div></li>"
        )

    return (
        '<div class="io-card" role="group" aria-label="Check"><p class="io-kind"><b>Check</b></p>'
        f"{style.sentence(said, 'run' if right else 'sleep')}"
        f'<ul class="io-cases">{"".join(map(item, verdicts))}</ul></div>'
    )
