"""The recorder: runs a model through a scenario, and writes down each step.

    record("epoll", "slow-client")

The server runs in a fresh child (child.py) and makes its calls on a stage (stage.py); the clients
are here (clients.py). Whoever of the server can go on does, one at a time, always the first in
order. When nobody can, the script takes its next act. At its end the child is ended, where it is.

The server's clock is here too. It moves when the script says so, from one timeout to the next.
"""

from __future__ import annotations

import copy
import platform
import resource
from collections.abc import Callable
from typing import Any

from iomodels.servers import missing
from iomodels.trace.building import build
from iomodels.trace.clients import Client
from iomodels.trace.models import MODELS
from iomodels.trace.moments import Moment
from iomodels.trace.processes import Again, Process, RecordingError, end, running
from iomodels.trace.recording import Recording
from iomodels.trace.scenario import CLOCK, Act, Scenario
from iomodels.trace.scenarios import scenario as by_name
from iomodels.trace.settling import settle
from iomodels.trace.states import Stranger, compose

__all__ = ["Recorder", "RecordingError", "record"]

TRIES = 5  # when the machine was so slow that a SYN was repeated before its time
MOST = 2000  # steps


def record(
    model: str,
    scenario: Scenario | str,
    on_step: Callable[[Recorder, Moment], None] = lambda recorder, moment: None,
) -> Recording:
    """Record a model at a scenario; takes a second at most, where nobody waits for the clock.

    At each step `on_step` is called, while the server and its clients stand still: whoever wants to
    look at them from outside can do so then.

    Raises ValueError for names that there are not and for a scenario that is not for this model,
    RecordingError when the server could not be run.
    """
    if isinstance(scenario, str):
        scenario = by_name(scenario)
    if model not in MODELS:
        raise ValueError(f"no model named {model!r}; there are {', '.join(MODELS)}")
    if reason := scenario.why_not(model):
        raise ValueError(f"{scenario.name} is not for {model}: {reason}")
    if reason := missing(model) or no_room(scenario):
        raise RecordingError(reason)
    for attempt in range(TRIES):
        try:
            return Recorder(model, scenario, on_step).run()
        except Again:
            if attempt == TRIES - 1:
                raise
    raise AssertionError


def no_room(scenario: Scenario) -> str:
    """Why a scenario takes more descriptors than a process may hold here; "" when it does not."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    occupied = scenario.settings.occupied
    if not 0 <= most <= occupied:
        return ""
    return (
        f"{scenario.name} takes the first {occupied:,} descriptors, and a process may hold {most:,}"
        " here: see `ulimit -n`"
    )


class Recorder:
    """One run."""

    def __init__(
        self, model: str, scenario: Scenario, on_step: Callable[[Recorder, Moment], None]
    ) -> None:
        self.model, self.scenario, self.on_step = model, scenario, on_step
        self.focus = 0  # the process that acted last
        self.processes: list[Process] = []
        self.clients: dict[str, Client] = {}
        self.accepted: set[str] = set()
        self.spinning: set[str] = set()
        self.moments: list[Moment] = []
        self.actors: dict[str, dict[str, Any]] = {}  # those of the server, and how they are
        self.names: dict[str, str] = {}
        self.counters = dict.fromkeys(("calls", "sleeps", "looked", "copied", "served"), 0)
        self.answered: set[str] = set()
        self.now = 0.0
        self.port = 0
        self.sources: list[list[int]] = []  # ports for clients, by listener (child.spread)
        self.sent: dict[str, str] = {}  # by client: what it sent last, in words
        self.last: dict[int, str] = {}  # by process: the client that it accepted last
        self.done: dict[str, str] = {}  # by client: what it did last

    def run(self) -> Recording:
        """Run the script from beginning to end."""
        with running(self.model, self.scenario, self.processes) as process:
            try:
                self.enter(process, "parent" if "workers" in self.model else "server")
                self.start(process)
                self.go_on()
                for number, act in enumerate(self.scenario.acts):
                    self.perform(act, number)
            finally:
                for client in self.clients.values():
                    client.leave()
        made = f"Linux {platform.release().split('-')[0]}, Python {platform.python_version()}"
        return build(self.model, MODELS[self.model], self.scenario, made, self.names, self.moments)

    # --- the server's processes and threads ---

    def enter(self, process: Process, name: str) -> None:
        """Take note of a new process."""
        process.index = len(self.processes)
        self.processes.append(process)
        self.names[self.join(process, 0)] = name

    def join(self, process: Process, number: int) -> str:
        """Take note of a new thread, or of the only one of a process."""
        key = "server" if not self.actors else f"server:{len(self.actors) + 1}"
        process.actors[number] = key
        self.actors[key] = {"state": "waiting", "pid": process.index}
        return key

    # --- what the server says ---

    def start(self, process: Process) -> None:
        """The listener is there, and nothing has happened."""
        said = process.receive()
        self.port, self.sources = said["port"], said["sources"]
        process.seen = said["look"]
        process.order("ok", self.now)
        process.receive()  # that it is asleep
        self.actors["server"]["state"] = "running"
        self.note("start", "server")

    def listen_to(self, process: Process) -> None:
        """Take down what a process does, until it sleeps or is no more."""
        while True:
            said = process.receive()
            match said["say"]:
                case "asleep":
                    return
                case "exit":
                    return self.exited(process, said)
                case "step":
                    self.step(process, said)
                case "settle":
                    for client in self.clients.values():
                        client.acknowledge()
                case "spins":
                    self.spinning.add(process.actors[said["actor"]])
                    self.moments[-1].spins = True
                case "thread":
                    key = self.join(process, said["actor"])
                    what = "carrier" if said["name"].startswith("carrier") else "thread"
                    self.names[key] = f"{what} for {self.last[process.index]}"
                case "ended":
                    ended = {"state": "ended", "pid": process.index}
                    self.actors[process.actors[said["actor"]]] = ended
                case "process":
                    name = f"worker {len(self.processes)}"
                    if "workers" not in self.model:
                        name = f"process for {self.last[process.index]}"
                    child = Process(said["channel"], said["pid"], told=said["told"])
                    self.enter(child, name)
                    child.seen = process.seen
                    child.receive()  # that it is asleep
            process.order("ok", self.now)

    def exited(self, process: Process, said: dict[str, Any]) -> None:
        """A process has ended: wait until the kernel has closed what it had open."""
        end(process.pid, kill=False)
        process.ended = True
        process.seen = {}
        key = process.actors[0]
        self.actors[key] = {"state": "ended", "pid": process.index}
        for other in self.alive():
            other.see(self.now)
        told = {"name": "_exit", "args": str(said["status"]), "fd": -1, "where": said["where"]}
        self.note("call", key, told | {"result": ""})

    def step(self, process: Process, told: dict[str, Any]) -> None:
        """One call, or the beginning or the end of one that sleeps."""
        process.seen = told.pop("look")
        for other in self.alive():
            if other is not process:
                other.see(self.now)
        key = process.actors[told.pop("actor")]
        kind = told.pop("kind")
        for field_name in ("args", "result"):
            told[field_name] = self.without_pids(told.get(field_name, ""))
        if told["name"] == "accept" and "error" not in told and kind != "sleep":
            self.last[process.index] = self.client_of(process, int(told["result"])) or "?"
        if kind == "sleep":
            self.counters["sleeps"] += 1
            self.actors[key] = {
                "state": "sleeping",
                "in": f"{told['name']}({told['args']})",
                "pid": process.index,
                "since": len(self.moments),
            }
            if (client := self.client_of(process, told["fd"])) is not None:
                self.actors[key]["of"] = client
        else:
            self.actors[key] = {"state": "running", "pid": process.index}
            self.count(process, told)
        self.note(kind, key, told)

    def without_pids(self, text: str) -> str:
        """Names instead of the numbers that each run has anew."""
        for process in self.processes:
            key = process.actors[0]
            text = text.replace(f"<{process.told}>", f"pid of {self.names[key]}")
        return text

    def count(self, process: Process, told: dict[str, Any]) -> None:
        """Add a call that has returned to the counters."""
        self.counters["calls"] += 1
        looked = told["looked"]
        if told["name"] in ("epoll_wait", "io_uring_enter"):
            looked = len(told.get("raw") or ())
        self.counters["looked"] += int(looked)
        self.counters["copied"] += told.get("moved", 0)

    # --- who goes on ---

    def alive(self) -> list[Process]:
        return [process for process in self.processes if not process.ended]

    def look_at_all(self) -> list[tuple[Process, int]]:
        """Who can go on, in order."""
        found = [(process, number) for process in self.alive() for number in process.look(self.now)]
        return [(p, n) for p, n in found if p.actors[n] not in self.spinning]

    def go_on(self, rounds: dict[str, list[int]] | None = None) -> None:
        """Let the server do what it can, until nobody can do anything.

        `rounds`: by actor, the numbers of the steps of its last round. A round that is as the last
        one is left out, and counted there.
        """
        while awake := self.look_at_all():
            process, number = awake[0]
            begin = len(self.moments)
            process.order("go", self.now, actor=number)
            self.listen_to(process)
            if rounds is not None:
                key = process.actors[number]
                rounds[key] = self.fold(rounds.get(key, []), begin)

    def fold(self, last: list[int], begin: int) -> list[int]:
        """Leave out the steps from `begin` on if they are as those of the round before."""
        this = list(range(begin, len(self.moments)))
        before, now = ([self.moments[n].essence() for n in steps] for steps in (last, this))
        if not now or before != now:
            return this
        del self.moments[begin:]
        self.moments[last[-1]].times += 1
        key = self.moments[last[-1]].actor
        self.actors[key] = dict(self.moments[last[-1]].state["actors"][key])
        return last

    # --- what the clients do ---

    def perform(self, act: Act, number: int) -> None:
        """One act of the script, and what the server does then."""
        self.check_clock(act)
        self.spinning.clear()
        if act.actor == CLOCK:
            return self.let_time_pass(act, number)
        if act.verb == "connects":
            self.connect(act)
        client = self.clients[act.actor]
        outcome = client.do(act)
        if act.verb == "sends":
            self.sent[act.actor] = act.quoted
        awake = settle(self, act, client)
        self.done[act.actor] = what_is_done(act, outcome, client)
        if act.verb == "reads" and outcome not in ("nothing", "end") and not client.end:
            self.answered.add(act.actor)
        self.note_act(act, number, outcome, awake)
        self.go_on()

    def connect(self, act: Act) -> None:
        """Make a client; where there are several listeners, for one after the other."""
        source = 0
        if self.sources:
            source = self.sources[len(self.clients) % len(self.sources)].pop()
        try:
            self.clients[act.actor] = Client(act.actor, self.port, int(act.number), source)
        except OSError as error:
            raise Again(f"the client cannot connect: {error.strerror}") from None

    def note_act(
        self, act: Act, number: int, outcome: str, awake: list[tuple[Process, int]]
    ) -> None:
        keys = tuple(process.actors[n] for process, n in awake)
        keys = tuple(key for key in keys if self.actors[key]["state"] == "sleeping")
        for key in keys:
            self.actors[key]["state"] = "waiting"
        self.note("act", act.actor, {}, act=act, number=number, outcome=outcome, wakes=keys)

    def check_clock(self, act: Act) -> None:
        """Raise Again if a SYN that was dropped has been repeated before its time."""
        for client in self.clients.values():
            waits = client.here and not client.connected and act.verb != "asks again"
            if waits and client.asked_again:
                raise Again("the machine is too slow for this scenario; try again")

    def dropped(self) -> list[str]:
        """Those whose SYN was dropped."""
        return [name for name, client in self.clients.items() if not client.connected]

    # --- time ---

    def let_time_pass(self, act: Act, number: int) -> None:
        """Move the clock on, and stop wherever the time of a call is over."""
        target = self.now + act.number
        rounds: dict[str, list[int]] = {}
        noted = False
        while self.now < target:
            self.look_at_all()
            until = min((p.until for p in self.alive() if p.until is not None), default=target)
            self.now = min(target, max(until, self.now))
            awake = self.look_at_all()
            if not noted:
                self.note_act(act, number, "", awake)
                noted = True
            self.go_on(rounds)

    # --- writing down ---

    def client_of(self, process: Process, fd: int) -> str | None:
        """The client behind a descriptor of a process."""
        port = process.seen["sockets"].get(str(fd), {}).get("port")
        return next((c.name for c in self.clients.values() if c.port == port), None)

    def note(self, kind: str, actor: str, told: dict[str, Any] | None = None, **more: Any) -> None:
        """Write down a step, with all as it stands."""
        if actor in self.actors:
            self.focus = self.actors[actor].get("pid", 0)
        try:
            state = copy.deepcopy(compose(self))
        except Stranger:
            raise Again("somebody else connects to the server's port") from None
        moment = Moment(kind, actor, told or {}, state, sent=dict(self.sent), **more)
        self.moments.append(moment)
        self.on_step(self, moment)
        if len(self.moments) > MOST:
            raise RecordingError(f"more than {MOST} steps: the server goes round and round")


def what_is_done(act: Act, outcome: str, client: Client) -> str:
    """What a client has done with an act, as it is told."""
    if outcome == "nothing":
        return "has found nothing to read"
    if act.verb == "connects" and not client.connected:
        return act.done.replace("has connected", "has sent a SYN")
    return act.done
