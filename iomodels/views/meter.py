"""A live meter in a notebook: what a running server makes of a load that the learner changes.

    meter("epoll")                      a card with Start, the load, and five figures
    meter("threads").sample()           the five figures once, for an assertion

Start runs a real server in a process of its own, and clients in another (measure/meter.py). A
thread of the notebook's kernel waits for them and puts one sample a second on the page; the kernel
stays free for other cells. While a cell runs, though, the figures go on, and the controls wait: the
kernel hears of a slider only between two cells.

One meter runs at a time, for two would measure each other. So `meter()` stops the one that runs:
a cell that is run again does not leave its server behind. Stop ends both processes, and so do
closing the card, interrupting or closing the kernel, and killing it: then their leash is let go
(measure/child.py). Nobody has to press Stop: after ten minutes a meter stops by itself.

Where there is no kernel, the output says in HTML what one would see. It is the same in every run.
"""

from __future__ import annotations

import contextlib
import html
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import traitlets
from anywidget import AnyWidget

from iomodels.measure.dialogues import DIALOGUES
from iomodels.measure.limits import sized
from iomodels.measure.load import LONGEST, LoadError
from iomodels.measure.meter import Load, Sample, metering
from iomodels.measure.progress import progress
from iomodels.measure.serving import ServerError
from iomodels.servers import MODELS, missing
from iomodels.views import style
from iomodels.views.style import number

__all__ = ["LiveMeter", "meter"]

MODULE = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
SHEET = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")

KEPT = 60  # samples
MOST = 10_000  # connections
IN_FLIGHT = (1, 2, 4, 8, 16, 32, 64)
SIZES = (1, 16, 64, 256, 1024, 4096, 16_384, 65_536)

ABOUT = (
    "A server in a process of its own, and clients in another. Start them, then change the load:"
    " once a second you see what the server makes of it."
)
FIGURES = (
    "messages per second",
    "p99: the time within which 99 of 100 messages come back",
    "the server's CPU time, in per cent of one core",
    "its memory, without what files are behind",
    "its context switches for each message",
)


class Stopped(Exception):
    """Somebody has pressed Stop, or the time is over."""


class Changed(Exception):
    """Somebody has chosen another model."""


def meter(model: str = "epoll", app: str = "echo", *, seconds: float | None = None) -> LiveMeter:
    """A live meter for `model` under `app`, which measures once it is started.

    It stops by itself after `seconds`, or after ten minutes. Raises ValueError for a model that
    there is not, one that does not run here, an app that has no clients, and a time that is none.
    """
    if model not in MODELS:
        raise ValueError(f"no model named {model!r}; there are {', '.join(MODELS)}")
    if why := missing(model):
        raise ValueError(f"{model} does not run here: {why}")
    if app not in DIALOGUES:
        raise ValueError(f"no load for an app named {app!r}; there are {', '.join(DIALOGUES)}")
    seconds = LONGEST if seconds is None else seconds
    if not 0 < seconds <= LONGEST:
        raise ValueError(f"seconds go from 0 to {LONGEST:g}")
    if LiveMeter.active:
        LiveMeter.active.running = False
    return LiveMeter(model, app, seconds)


class LiveMeter(AnyWidget):
    """What `meter()` returns: a card, and `sample()`, `start()`, `stop()` for code."""

    _esm = MODULE
    _css = style.css() + SHEET
    # The page sets these.
    model = traitlets.Unicode().tag(sync=True)
    connections = traitlets.Int(100).tag(sync=True)
    in_flight = traitlets.Int(1).tag(sync=True)
    size = traitlets.Int(64).tag(sync=True)
    running = traitlets.Bool(False).tag(sync=True)
    # The page shows these.
    about = traitlets.Unicode(ABOUT).tag(sync=True)
    models: traitlets.List[Any] = traitlets.List().tag(sync=True)
    choices: traitlets.Dict[str, Any] = traitlets.Dict().tag(sync=True)
    samples: traitlets.List[Any] = traitlets.List().tag(sync=True)  # the last KEPT
    said = traitlets.Unicode().tag(sync=True)  # the figures in words
    news = traitlets.Unicode().tag(sync=True)  # in place of these: what happens instead
    problem = traitlets.Unicode().tag(sync=True)  # why there are no figures

    active: LiveMeter | None = None  # the one that was started last

    def __init__(self, model: str, app: str, seconds: float) -> None:
        """The arguments are checked by `meter()`."""
        super().__init__(
            model=model,
            models=[[name, idea] for name, idea in MODELS.items() if not missing(name)],
            choices={
                "connections": steps(sized(MOST).connections),
                "in_flight": list(IN_FLIGHT),
                "size": list(SIZES),
            },
        )
        self.app, self.seconds = app, seconds
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._latest: Sample | None = None
        self._sampled = threading.Condition()  # notified when there is a sample, and at the end

    def __repr__(self) -> str:
        return f"meter: {self.model}"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        bundle, metadata = super()._repr_mimebundle_(**options)  # type: ignore[misc]
        return bundle | {"text/html": style.page(self._static(), SHEET)}, metadata

    def _static(self) -> str:
        """The card where there is no kernel."""
        figures = "".join(f"<li>{html.escape(figure)}</li>" for figure in FIGURES)
        return (
            '<div class="io-card" role="group" aria-label="Live meter">'
            f'<p class="io-kind"><b>Live meter: {html.escape(self.model)}</b></p>'
            f"<p>{ABOUT}</p><ul>{figures}</ul>"
            '<p class="io-dim">Run the cell, then press Start.</p></div>'
        )

    # --- for code ---

    def start(self) -> None:
        """Press Start: run server and clients, and measure until `stop()`."""
        self.running = True

    def stop(self) -> None:
        """Press Stop, and return when server and clients have ended."""
        self.running = False
        if self._thread:
            self._thread.join()

    def close(self) -> None:
        """Stop, and leave the page."""
        self.stop()
        super().close()

    def sample(self) -> Sample:
        """Measure once, or wait for the next sample if the meter runs; takes some seconds.

        Raises ValueError, LoadError or ServerError when there is no result.
        """
        if self.running and self._thread:
            with self._sampled:
                before = self._latest
                while self._latest is before and self._thread.is_alive():
                    self._sampled.wait(0.1)
                if self._latest is None or self._latest is before:
                    raise LoadError(self.problem or "the meter was stopped before the next sample")
                return self._latest
        with progress(f"One sample of {self.model}") as step:
            begun = time.monotonic()

            def tell() -> None:
                step(min((time.monotonic() - begun) / 3, 1.0), f"{self.connections:,} clients")

            model, load = self.model, self._load()
            with metering(model, self.app, tell) as server:
                sample = server.sample(load)
        self._show(sample, model, load)
        return sample

    # --- what the thread does ---

    @traitlets.observe("running")
    def _run_or_stop(self, change: Any) -> None:
        self._stop.set()
        if not self.running:
            return
        before = LiveMeter.active
        if before and before is not self:
            before.running = False
        LiveMeter.active = self
        self._stop = threading.Event()
        self.news, self.problem = f"Starting {self.model}.", ""
        # A daemon: a kernel that is closed does not wait for it.
        self._thread = threading.Thread(
            target=self._run, args=(self._stop, before and before._thread), daemon=True
        )
        self._thread.start()

    def _run(self, stop: threading.Event, before: threading.Thread | None) -> None:
        """Measure until `stop` is set, once the meter that ran before has ended its processes."""
        if before:
            before.join()
        problem = ""
        try:
            self._measure(stop, time.monotonic() + self.seconds)
        except Stopped:
            pass
        except (LoadError, ServerError, ValueError) as error:
            problem = str(error)
        except Exception as error:  # whatever it is: the learner sees it here or nowhere
            problem = f"{type(error).__name__}: {error}"
        with self._sampled:
            if not stop.is_set() or not self.running:  # nobody has started it anew meanwhile
                self.problem = problem
                self.news = "" if problem else "Stopped. Server and clients have ended."
                self.running = False
            self._sampled.notify_all()

    def _measure(self, stop: threading.Event, until: float) -> None:
        """Run the server that is chosen, and sample it; another when another is chosen."""
        while True:
            with contextlib.suppress(Changed):
                self._serve(self.model, stop, until)

    def _serve(self, model: str, stop: threading.Event, until: float) -> None:
        """Run one server, and sample it until Stopped or Changed is raised."""

        def look() -> None:
            if stop.is_set() or time.monotonic() > until:
                raise Stopped
            if self.model != model:
                raise Changed

        self.news = f"Starting {model}."
        with metering(model, self.app, look) as server:
            while True:
                look()
                load = self._load()
                self._show(server.sample(load), model, load)

    def _load(self) -> Load:
        return Load(self.connections, self.in_flight, self.size)

    def _show(self, sample: Sample, model: str, load: Load) -> None:
        """Put a sample on the page, with what it was measured under."""
        under = {"model": model, "asked": asdict(load)}
        with self._sampled:
            self._latest = sample
            self._sampled.notify_all()
        with self.hold_sync():
            self.samples = [*self.samples, asdict(sample) | under][-KEPT:]
            self.said, self.news = in_words(sample, model), ""


def steps(most: int) -> list[int]:
    """1, 2, 5, 10 and so on, then `most`."""
    counts = [digit * 10**power for power in range(len(str(most))) for digit in (1, 2, 5)]
    return [*(count for count in counts if count < most), most]


def in_words(sample: Sample, model: str) -> str:
    """The figures as a sentence, and what is not as one would think."""
    clients = f"{sample.connections:,} client{'s' * (sample.connections != 1)}"
    if sample.switches is None:
        said = [f"{model}, {clients}: no message came back."]
    else:
        rate, switches = number(float(sample.rate)), number(float(sample.switches))
        said = [f"{model}, {clients}: {rate} messages a second, {switches} switches each."]
    if sample.lost:
        said.append(f"The server has ended {sample.lost:,} connections.")
    elif sample.served < sample.connections:
        waiting = sample.connections - sample.served
        said.append(f"{waiting:,} of them have had no answer so far.")
    if sample.note:
        said.append(f"{sample.note[0].upper()}{sample.note[1:]}.")
    return " ".join(said)
