"""A recording where no script runs: a step's sentence, the lanes as a picture, all steps as text.

It is made of nothing that JupyterLab, or a code host, takes out of an output which it does not
trust: no style sheet, no inline SVG, no label; `<img alt>`, headings and lists stay.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from iomodels.views.style import LIGHT, inline, picture

Recording = Any  # of iomodels.trace, or what its `as_dict()` returns

WIDTH, LANE, LEFT = 840, 22, 110  # of the picture, in pixels
TONES = ("a", "b", "c")  # of the clients, in turn
BARS = {"running": (12, "run"), "sleeping": (5, "sleep"), "waiting": (5, "run")}  # of a server


def plain(recording: Recording) -> Any:
    """A recording as plain data."""
    return recording.as_dict() if hasattr(recording, "as_dict") else recording


def heading(recordings: Sequence[Recording]) -> str:
    """One line: "One slow client, epoll, 31 steps"."""
    models = " and ".join(one["model"] for one in recordings)
    steps = " and ".join(str(len(one["steps"])) for one in recordings)
    return f"{recordings[0]['title']}, {models}, {steps} steps"


def moments(recordings: Sequence[Recording]) -> list[list[int]]:
    """Which step of each recording, counted from 0, stands at each moment of their timeline.

    The same order as in states.js: an act is one moment in all of them, and between two acts the
    quicker one waits.
    """
    stretches = [_stretches(one) for one in recordings]
    at = [0] * len(recordings)
    result = []
    for act in sorted({act for its in stretches for act in its}):
        spans = [its.get(act, []) for its in stretches]
        for k in range(max(map(len, spans))):
            at = [span[k] if k < len(span) else was for span, was in zip(spans, at, strict=True)]
            result.append(at)
    return result


def _stretches(recording: Recording) -> dict[int, list[int]]:
    """By the number of an act, the steps from it to the next; -1 is before the first."""
    result: dict[int, list[int]] = {-1: []}
    act = -1
    for number, step in enumerate(recording["steps"]):
        if step["kind"] == "act":
            act = step.get("act", act + 1)
        result.setdefault(act, []).append(number)
    return result


def static(recordings: Sequence[Recording], at: int) -> str:
    """The HTML of one recording, or of two, at a moment counted from 1."""
    first = recordings[0]
    parts = [f"<p><b>{html.escape(heading(recordings))}</b></p><p>{inline(first['about'])}</p>"]
    where = f"Step {at}" if len(recordings) == 1 else f"Moment {at}"
    for one, number in zip(recordings, moments(recordings)[at - 1], strict=True):
        said = inline(one["steps"][number]["says"])
        parts.append(f"<p>{where}, {html.escape(one['model'])}: {said}</p>")
        parts.append(picture(lanes(one), alt(one)))
        items = "".join(f"<li>{inline(step['says'])}</li>" for step in one["steps"])
        parts.append(
            f"<details><summary>All {len(one['steps'])} steps of {html.escape(one['model'])}"
            f"</summary><ol>{items}</ol></details>"
        )
    parts.append("<p><i>Run the cell to step through it.</i></p>")
    return "".join(parts)


def alt(recording: Recording) -> str:
    """What the lanes show, in words."""
    parts = []
    for actor in recording["actors"]:
        spans = _spans(recording, actor["id"])
        if actor["kind"] != "server":
            acts = [n + 1 for n, step in enumerate(recording["steps"]) if _is_act(step, actor)]
            told = f"acts at step {', '.join(map(str, acts))}" if acts else "does nothing"
        else:
            asleep = [f"{a + 1} to {b}" for state, a, b in spans if state == "sleeping"]
            told = f"sleeps at steps {', '.join(asleep)}" if asleep else "never sleeps"
        parts.append(f"{actor['name']} {told}")
    return f"Lanes of time, {recording['model']}: {'; '.join(parts)}."


def lanes(recording: Recording) -> str:
    """The lanes as an SVG in the light palette."""
    actors = recording["actors"]
    height = LANE * len(actors)
    step_width = (WIDTH - LEFT) / len(recording["steps"])
    drawn = []
    clients = [actor["id"] for actor in actors if actor["kind"] == "client"]
    for row, actor in enumerate(actors):
        y = row * LANE + LANE / 2
        drawn.append(
            f'<text x="4" y="{y + 5:g}" fill="{LIGHT["ink"]}">{html.escape(actor["name"])}</text>'
            f'<path d="M{LEFT} {y:g}H{WIDTH}" stroke="{LIGHT["line"]}"/>'
        )
        for kind, (thick, colour) in BARS.items():
            bars = "".join(
                f"M{LEFT + start * step_width:.1f} {y:g}h{(stop - start) * step_width:.1f}"
                for state, start, stop in _spans(recording, actor["id"])
                if actor["kind"] == "server" and state == kind
            )
            if bars:
                drawn.append(f'<path d="{bars}" stroke="{LIGHT[colour]}" stroke-width="{thick}"/>')
        tone = TONES[clients.index(actor["id"]) % 3] if actor["id"] in clients else "ink"
        dots = "".join(  # a line without length, but with round ends
            f"M{LEFT + (number + 0.5) * step_width:.1f} {y:g}h0"
            for number, step in enumerate(recording["steps"])
            if _is_act(step, actor)
        )
        if dots:
            round_ends = 'stroke-width="10" stroke-linecap="round"'
            drawn.append(f'<path d="{dots}" stroke="{LIGHT[tone]}" {round_ends}/>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}"'
        f' font-family="system-ui, sans-serif" font-size="13">{"".join(drawn)}</svg>'
    )


def _is_act(step: Mapping[str, Any], actor: Mapping[str, Any]) -> bool:
    return bool(step["kind"] == "act" and step["actor"] == actor["id"])


def _spans(recording: Recording, actor: str) -> list[tuple[str, int, int]]:
    """In which state an actor is, from which step on, and until before which one."""
    spans: list[tuple[str, int, int]] = []
    state = "none"
    for number, step in enumerate(recording["steps"]):
        changed = step["changed"].get("actors", {})
        if actor in changed:
            state = (changed[actor] or {}).get("state", "none")
        if spans and spans[-1][0] == state:
            spans[-1] = (state, spans[-1][1], number + 1)
        else:
            spans.append((state, number, number + 1))
    return spans
