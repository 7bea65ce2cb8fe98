"""The doctor's findings in a notebook: what this machine can do, and which lessons run in full.

Each state has a word and a sign of its own; the colour only repeats them. Advice stands with the
finding that it belongs to, so that nobody has to look it up.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

from iomodels.measure.machine import Finding, Readiness, State
from iomodels.views.style import inline, measured, output

SIGNS = {"full": ("✓", "run"), "less": ("◐", "c"), "missing": ("✗", "sleep")}  # sign, accent
OF_LESSONS = {"full": "in full", "less": "with less", "missing": "not here"}

# In the cells themselves: where a style sheet is not trusted, JupyterLab aligns to the right.
LEFT = "text-align: left"

SHEET = """
.iomodels table.io-findings { width: 100%; max-width: 860px; margin: 6px 0; table-layout: fixed;
  border-collapse: collapse; font-size: 14px; color: var(--io-ink); }
.iomodels table.io-findings tr { background: none; }
.iomodels table.io-findings th, .iomodels table.io-findings td { padding: 5px 10px;
  vertical-align: baseline; border: 0; border-bottom: 1px solid var(--io-line);
  white-space: normal; overflow-wrap: anywhere; }
.iomodels table.io-findings thead th { font-size: 12px; font-weight: 600; color: var(--io-dim); }
.iomodels table.io-findings tbody th { font-weight: 600; }
.iomodels .io-findings code { box-decoration-break: clone; -webkit-box-decoration-break: clone; }
.iomodels .io-findings b { display: inline-block; width: 1.1em; }
.iomodels .io-findings .io-advice { color: var(--io-dim); }
"""


def show_findings(findings: Sequence[Finding]) -> None:
    """Show what was found as a table, a row each, with what to change below it."""

    def value(finding: Finding) -> str:
        if not finding.advice:
            return html.escape(finding.value)
        return f"{html.escape(finding.value)}{_advice(_effect(finding.lessons), finding.advice)}"

    rows = [(_state(f.state, f.state), html.escape(f.name), value(f)) for f in findings]
    output(measured(_table(("state", "what", "found"), rows)), "<findings>", SHEET)


def show_lessons(lessons: Sequence[Readiness]) -> None:
    """Show which lessons run in full; for the others, why not and what to change."""

    def reasons(lesson: Readiness) -> str:
        return "<br>".join(
            f"{html.escape(f'{finding.name}: {finding.value}')}{_advice('', finding.advice)}"
            for finding in lesson.because
        )

    rows = [
        (
            _state(lesson.state, OF_LESSONS[lesson.state]),
            f"{lesson.number:02} · {html.escape(lesson.title)}",
            reasons(lesson) or "nothing to change",
        )
        for lesson in lessons
    ]
    output(measured(_table(("runs", "lesson", "what to change"), rows)), "<lessons>", SHEET)


def _state(state: State, word: str) -> str:
    sign, accent = SIGNS[state]
    return f'<b style="color: var(--io-{accent})">{sign}</b> {word}'


def _effect(lessons: Sequence[int]) -> str:
    """What a finding does to the course, in words."""
    if not lessons:
        return "It holds up no lesson."
    names = [f"{number:02}" for number in lessons]
    listed = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    return f"It holds up lesson{'s' * (len(names) > 1)} {listed}."


def _advice(before: str, advice: str) -> str:
    said = f"{before} What to do: {advice}.".strip()
    return f'<br><span class="io-advice">{inline(said)}</span>'


def _table(headings: tuple[str, str, str], rows: Sequence[tuple[str, str, str]]) -> str:
    """Three columns: a state, a name, and what there is to say."""
    columns = zip(headings, ("15%", "23%", "62%"), strict=True)
    head = "".join(
        f'<th scope="col" style="width: {wide}; {LEFT}">{name}</th>' for name, wide in columns
    )
    body = "".join(
        f'<tr><td style="{LEFT}">{state}</td><th scope="row" style="{LEFT}">{name}</th>'
        f'<td style="{LEFT}">{said}</td></tr>'
        for state, name, said in rows
    )
    return f'<table class="io-findings"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
