"""`tester(serve)`: what a chat server can do by now, stage by stage, and what fails, in words.

Each test runs in a process of its own, with a deadline (trial.py). The stages are tried in order,
up to the first in which something fails: those after it build on it.
"""

from __future__ import annotations

import html
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from iomodels.course import checking
from iomodels.course.project.host import Serve
from iomodels.course.project.stages import STAGES, Stage
from iomodels.course.trial import Verdict, title, trial
from iomodels.measure.progress import progress
from iomodels.views import style

SECONDS = 10.0  # for one test: a crowd takes a second or two


@dataclass(frozen=True)
class Tried:
    """A stage and what became of its tests; no verdict for those that were not tried."""

    number: int
    stage: Stage
    verdicts: tuple[Verdict, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether all of it was tried, and nothing failed."""
        right = [not verdict.problem for verdict in self.verdicts]
        return len(right) == len(self.stage.tests) and all(right)

    @property
    def failed(self) -> bool:
        """Whether something failed."""
        return any(verdict.problem for verdict in self.verdicts)


@dataclass(frozen=True)
class Report:
    """What the tests have found."""

    tried: tuple[Tried, ...]

    @property
    def passed(self) -> int:
        """Tests that pass."""
        return sum(not verdict.problem for one in self.tried for verdict in one.verdicts)

    @property
    def tests(self) -> int:
        """Tests that there are, in the stages that were asked for."""
        return sum(len(one.stage.tests) for one in self.tried)

    @property
    def failing(self) -> int:
        """The number of the stage in which something fails; 0 when nothing does."""
        return next((one.number for one in self.tried if one.failed), 0)

    @property
    def problems(self) -> list[str]:
        """What is wrong, in words, test by test."""
        return [v.problem for one in self.tried for v in one.verdicts if v.problem]

    def __str__(self) -> str:
        return "\n".join([self.summary(), *_plain(self)])

    def summary(self) -> str:
        """The report in a sentence."""
        if self.tried[0].verdicts[0].kind == "unwritten":
            return "Not written yet: the stub still raises `NotImplementedError`."
        first = self.tried[0].number
        since = f" from stage {first} on" if first > 1 else ""
        if not self.failing:
            return f"All {self.tests} tests{since} pass."
        done = [one.number for one in self.tried if one.passed]
        now = f"Stages 1 to {done[-1]} pass." if len(done) > 1 and first == 1 else ""
        now = now or (f"Stage {done[-1]} passes." if done else "")
        return f"{now} Next is stage {self.failing}: {STAGES[self.failing - 1].title}.".strip()


def tester(serve: Serve, stage: int = 1) -> Report:
    """Try a chat server from this stage on, show what became of it, and return that.

    `serve(listener, patience)` speaks the protocol of apps/chat.py. Raises ValueError for a stage
    that there is not, RuntimeError where it cannot be tried: that takes Linux.
    """
    report = tried(serve, stage)
    plain = str(report)
    if checking.in_ipython():
        style.output(style.measured(_card(report)), "<tester>", _SHEET)
    else:
        print(plain)
    return report


def tried(serve: Serve, stage: int = 1) -> Report:
    """The same, and nothing is shown."""
    if not 1 <= stage <= len(STAGES):
        raise ValueError(f"stages go from 1 to {len(STAGES)}; {stage} is none of them")
    if sys.platform != "linux":
        raise RuntimeError(f"the tester needs Linux; this is {sys.platform}")
    found: list[Tried] = []
    tests = sum(len(one.tests) for one in STAGES[stage - 1 :])
    done, stop = 0, False
    with progress("Tests") as step:
        for number, one in enumerate(STAGES[stage - 1 :], stage):
            verdicts: list[Verdict] = []
            for test in () if stop else one.tests:
                step(done / tests, title(test))
                verdicts.append(trial(test, [serve], SECONDS))
                done += 1
                if verdicts[-1].kind == "unwritten":
                    break
            found.append(Tried(number, one, tuple(verdicts)))
            stop = stop or found[-1].failed
    return Report(tuple(found))


# --- the card ---

_SHEET = """
.iomodels .io-stage { margin-top: 10px; font-weight: 600; }
.iomodels .io-stage.io-later { color: var(--io-dim); font-weight: 400; }
.iomodels ul.io-tests { list-style: none; margin: 2px 0 0; padding: 0; }
.iomodels .io-tests li { display: flex; gap: 10px; margin: 0; padding: 5px 0;
  border-top: 1px solid var(--io-line); }
.iomodels .io-tests li > div { flex: 1; min-width: 0; }
.iomodels .io-tests p { margin: 0; }
.iomodels .io-tests b { flex: none; width: 1.2em; text-align: center; }
.iomodels .io-tests .io-passes { color: var(--io-run); }
.iomodels .io-tests .io-fails { color: var(--io-sleep); }
.iomodels .io-tests .io-said { margin-top: 4px; font-size: 13px; color: var(--io-dim); }
.iomodels .io-tests pre { max-height: 16em; margin: 2px 0 0; padding: 6px 10px; overflow: auto;
  color: var(--io-ink); background: var(--io-kernel); border: 1px solid var(--io-line);
  border-radius: 8px; font-size: 13px; white-space: pre-wrap; overflow-wrap: anywhere; }
"""
SIGNS = {True: ("fails", "✗"), False: ("passes", "✓")}


def _card(report: Report) -> str:
    stages = "".join(map(_stage, report.tried))
    accent = "sleep" if report.failing else "run"
    return (
        '<div class="io-card" role="group" aria-label="Tester"><p class="io-kind"><b>Tester</b></p>'
        f"{style.sentence(report.summary(), accent)}{stages}</div>"
    )


def _stage(tried: Tried) -> str:
    name = f"{tried.number} · {html.escape(tried.stage.title)}"
    if not tried.verdicts:
        later = f"{len(tried.stage.tests)} test{'s' * (len(tried.stage.tests) > 1)}, not tried yet"
        return f'<p class="io-stage io-later">{name}: {later}</p>'
    items = "".join(map(_item, tried.verdicts))
    return f'<p class="io-stage">{name}</p><ul class="io-tests">{items}</ul>'


def _item(verdict: Verdict) -> str:
    word, sign = SIGNS[bool(verdict.problem)]
    said = f"<p>{style.inline(verdict.title)}</p>"
    if verdict.problem:
        said += f'<p class="io-fails">{style.inline(verdict.problem)}</p>'
    if verdict.printed:
        said += f'<p class="io-said">printed:</p><pre>{html.escape(verdict.printed)}</pre>'
    return f'<li><b class="io-{word}" aria-label="{word}">{sign}</b><div>{said}</div></li>'


def _plain(report: Report) -> Iterator[str]:
    for one in report.tried:
        yield f"{one.number} · {one.stage.title}{'' if one.verdicts else ': not tried yet'}"
        for verdict in one.verdicts:
            _, sign = SIGNS[bool(verdict.problem)]
            yield f"  {sign} {verdict.title}{': ' * bool(verdict.problem)}{verdict.problem}"
            yield from (f"      | {line}" for line in verdict.printed.splitlines())
