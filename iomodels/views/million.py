"""A million WebSockets in a notebook: a slider, Run and Stop, and a chart that grows meanwhile.

    Million()

It runs in a thread, so the kernel stays free for other cells; the thread only reads what the
controller says (measure/million), and draws. Stop ends all processes; so does closing the kernel,
for then the controller's leash is let go. What was found is in `report` afterwards.
"""

from __future__ import annotations

import html
import threading
from collections.abc import Sequence
from typing import Any

import ipywidgets as widgets

from iomodels.measure.million import NotMeasured, Progress, Report, million, plan
from iomodels.views.style import LIGHT, measured, number, page, picture, sentence

FEWEST, MOST = 1_000, 1_000_000
WIDE, HIGH = 760, 250  # pixels of the chart
LEFT, RIGHT, TOP, BOTTOM = 84, 190, 14, 30  # its margins

NOT_HERE = "In a live notebook: a slider for the number of connections, Run, Stop, and a chart."


class Stopped(Exception):
    """Somebody has pressed Stop."""


class Million(widgets.VBox):  # type: ignore[misc]
    """The panel. `report` is what was found; None before that, and after Stop."""

    def __init__(self, connections: int = MOST) -> None:
        self.report: Report | None = None
        self.thread: threading.Thread | None = None
        self.stopping = threading.Event()
        self.points: list[Progress] = []
        self.slider = widgets.IntSlider(
            connections, FEWEST, MOST, FEWEST, description="WebSockets", readout_format=",",
            continuous_update=False, layout={"width": "560px"},
        )  # fmt: skip
        self.run_button = widgets.Button(description="Run", button_style="primary")
        self.stop_button = widgets.Button(description="Stop", disabled=True)
        self.words, self.chart = widgets.HTML(), widgets.HTML()
        self.slider.observe(lambda change: self.show_plan(), "value")
        self.run_button.on_click(lambda button: self.run())
        self.stop_button.on_click(lambda button: self.stop())
        super().__init__(
            [
                widgets.HBox([self.slider, self.run_button, self.stop_button]),
                self.words,
                self.chart,
            ]
        )
        self.show_plan()

    def __repr__(self) -> str:
        return "<million>"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        bundle = super()._repr_mimebundle_(**options)
        return bundle | {"text/html": page(sentence(NOT_HERE))}

    # --- the buttons ---

    def run(self) -> None:
        """Begin; nothing happens while it runs."""
        if self.thread and self.thread.is_alive():
            return
        self.report, self.points = None, []
        self.stopping.clear()
        self.busy(True)
        # A daemon: a kernel that is closed does not wait for it.
        self.thread = threading.Thread(
            target=self.hold, args=(self.slider.value,), daemon=True, name="million"
        )
        self.thread.start()

    def stop(self) -> None:
        """End it; takes until all connections are closed."""
        self.stopping.set()
        self.stop_button.disabled = True

    def busy(self, busy: bool) -> None:
        """Let only that be pressed which makes sense now."""
        self.slider.disabled = self.run_button.disabled = busy
        self.stop_button.disabled = not busy

    def hold(self, connections: int) -> None:
        """What the thread runs."""
        try:
            self.report = million(connections, tell=self.tell)
            self.say(result(self.report))
        except Stopped:
            self.say(sentence("Stopped. No process and no connection is left.", "c"))
        except (NotMeasured, ValueError) as why:
            self.say(sentence(f"No result: {why}.", "sleep"))
        finally:
            self.busy(False)

    # --- what is seen ---

    def tell(self, now: Progress) -> None:
        """Draw how far it is."""
        if self.stopping.is_set():
            raise Stopped
        self.points.append(now)
        self.say(listed([str(now)]))
        self.chart.value = page(measured(picture(draw(self.points), alt(now))))

    def show_plan(self) -> None:
        """Say what the slider would lead to."""
        self.say(listed(plan(self.slider.value).lines()))

    def say(self, markup: str) -> None:
        """Put HTML between the buttons and the chart."""
        self.words.value = page(measured(markup))


def listed(lines: Sequence[str]) -> str:
    """HTML for lines of text."""
    return "".join(f"<p>{html.escape(line)}</p>" for line in lines)


def alt(now: Progress) -> str:
    """What the chart shows, in words."""
    return (
        f"After {now.seconds:.0f} s, {now.connections:,} of {now.plan.connections:,} WebSockets"
        f" are connected, and {now.heard:,} have heard the message."
    )


def result(report: Report) -> str:
    """HTML for what was found."""
    user = max(report.user or 0, report.resolution)
    said = (
        f"{report.connections:,} WebSockets at once, connected in {report.connect_seconds:.1f} s;"
        f" each heard the message within {report.message_seconds:.1f} s, {report.lost:,} were lost."
        f" An idle one takes {number(round(user))} bytes of its server"
    )
    if report.kernel is not None:
        said += f" and {number(round(report.kernel))} of the kernel, both ends together"
    said += "."
    if report.each is not None:
        said += f" The machine had {report.machine / 1e9:.1f} GB less."
    if not report.agree:
        said += " The servers' own counts differ."
    return sentence(said, "run" if report.agree and not report.lost else "sleep") + listed(
        report.notes
    )


def draw(points: Sequence[Progress]) -> str:
    """The chart as SVG: who is connected and who has heard the message, over the seconds."""
    latest, most = points[-1], points[-1].plan.connections
    last = max(5.0, latest.seconds)

    def x(seconds: float) -> float:
        return LEFT + seconds / last * (WIDE - LEFT - RIGHT)

    def y(many: float) -> float:
        return HIGH - BOTTOM - many / most * (HIGH - TOP - BOTTOM)

    def text(at: float, up: float, words: str, anchor: str, colour: str = LIGHT["dim"]) -> str:
        place = f'x="{at:.1f}" y="{up + 4:.1f}" text-anchor="{anchor}" fill="{colour}"'
        return f"<text {place}>{html.escape(words)}</text>"

    def line(ends: Sequence[tuple[float, int]], colour: str, words: str, lower: int) -> str:
        path = " ".join(f"{x(seconds):.1f},{y(many):.1f}" for seconds, many in ends)
        said = text(x(ends[-1][0]) + 8, y(ends[-1][1]) + lower, words, "start", colour)
        return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.2"/>{said}'

    parts = [
        f'<line x1="{LEFT}" x2="{WIDE - RIGHT}" y1="{y(v):.1f}" y2="{y(v):.1f}"'
        f' stroke="{LIGHT["line"]}"/>{text(LEFT - 8, y(v), f"{v:,.0f}", "end")}'
        for v in (0, most / 2, most)
    ]
    parts += [text(x(s), HIGH - 14, f"{number(round(s, 1))} s", "middle") for s in (0, last)]
    connected = [(point.seconds, point.connections) for point in points]
    parts.append(line(connected, LIGHT["a"], "connected", 0))
    if heard := [(p.seconds, p.heard) for p in points if p.phase in ("message", "echo", "close")]:
        # Where both lines end at the top, their words stand one below the other.
        lower = 18 if latest.heard > 0.9 * latest.connections else 0
        parts.append(line(heard, LIGHT["run"], "have heard the message", lower))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {HIGH}" width="{WIDE}"'
        f' height="{HIGH}" font-family="system-ui, sans-serif" font-size="12.5">'
        f"{''.join(parts)}</svg>"
    )
