"""Recordings for the stepper's tests: written by a toy kernel, in the recorder's own format.

They are not runs of the course's servers; those come from `iomodels.trace`. Here a test chooses how
many clients there are, how long a run is, and what nasty text stands in it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

Act = tuple[str, str, str]  # who, does what, with which bytes

SLOW = [
    ("A", "connect", ""), ("A", "send", "he"), ("B", "connect", ""), ("B", "send", "hi\n"),
    ("C", "connect", ""), ("A", "send", "llo\n"), ("A", "close", ""), ("C", "send", "hey\n"),
    ("B", "close", ""), ("C", "close", ""),
]  # fmt: skip

SOURCE = {
    "blocking": """\
        while (fd := accept(kernel, listener)) != STOPPED:
            converse(fd, app, kernel)
    def converse(fd, app, kernel):
        window = memoryview(bytearray(WINDOW))
        while n := kernel.readv(fd, [window]):  # sleeps until bytes arrive
            send(fd, app.received(fd, window[:n]), kernel)
        kernel.close(fd)""",
    "select": """\
        while not connections.over:
            readable, writable, _ = kernel.select(reading, writing, (), patience)
            for fd in readable + writable:
                if fd == listener:
                    reading.add(kernel.accept(listener))
                    continue
                n = kernel.readv(fd, [window])
                if n:
                    kernel.writev(fd, app.received(fd, window[:n]))
                else:
                    reading.discard(fd)
                    kernel.close(fd)""",
    "epoll": """\
        while not connections.over:
            events = epoll.poll(connections.patience())
            for fd, event in events:
                if fd == listener:
                    new = kernel.accept(listener)
                    epoll.register(new, EPOLLIN)
                    continue
                n = kernel.readv(fd, [window])
                if n:
                    kernel.writev(fd, app.received(fd, window[:n]))
                else:
                    epoll.unregister(fd)
                    kernel.close(fd)""",
}
LISTENER = 3


class Toy:
    """A kernel with one listener, clients that follow a script, and a scribe."""

    def __init__(self, model: str, script: list[Act]) -> None:
        self.model, self.script = model, iter(script)
        self.names = sorted({who for who, _, _ in script})
        self.clients = {
            name: {"fd": None, "in": "", "in_bytes": 0, "out_bytes": 0, "state": "", "eof": False}
            for name in self.names
        }
        self.did: dict[str, dict[str, Any]] = {name: {"state": "none"} for name in self.names}
        self.server: dict[str, Any] = {"state": "running"}
        self.waiting: list[str] = []
        self.interest: list[int] = []
        self.ready: list[int] = []
        self.counters = {"calls": 0, "sleeps": 0, "looked": 0, "copied": 0, "served": 0}
        self.steps: list[dict[str, Any]] = []
        self.written: dict[str, Any] = {}

    # --- what is there ---

    def fds(self) -> list[dict[str, Any]]:
        first = [{"fd": LISTENER, "what": "listener", "client": None}]
        if self.model == "epoll":
            first.append({"fd": 4, "what": "epoll", "client": None})
        open_ = [(its["fd"], name) for name, its in self.clients.items() if its["fd"] is not None]
        return first + [
            {"fd": fd, "what": "connection", "client": name} for fd, name in sorted(open_)
        ]

    def owner(self, fd: int) -> str:
        return next(name for name, its in self.clients.items() if its["fd"] == fd)

    def can_read(self, fd: int) -> bool:
        if fd == LISTENER:
            return bool(self.waiting)
        its = self.clients[self.owner(fd)]
        return bool(its["in"] or its["eof"])

    def whole(self) -> dict[str, Any]:
        sockets = {
            name: {key: its[key] for key in ("fd", "in", "in_bytes", "out_bytes", "state")}
            for name, its in self.clients.items()
            if its["state"]
        }
        kind = self.model if self.model != "blocking" else None
        watch = {
            "kind": kind,
            "interest": [{"fd": fd, "events": "IN"} for fd in self.interest],
            "ready": list(self.ready),
        }
        return deepcopy(
            {
                "actors": {"server": self.server, **self.did},
                "fds": self.fds(),
                "queue": {"waiting": self.waiting, "backlog": 4},
                "sockets": sockets,
                "watch": watch | ({"fd": 4} if kind == "epoll" else {}),
                "counters": self.counters,
            }
        )

    # --- writing down ---

    def step(self, actor: str, kind: str, says: str, line: int = 0, **more: Any) -> None:
        now, before = self.whole(), self.written
        changed: dict[str, Any] = {}
        for part, value in now.items():
            was = before.get(part)
            if part in ("actors", "sockets"):
                parts = {k: v for k, v in value.items() if v != (was or {}).get(k)}
                parts |= dict.fromkeys((was or {}).keys() - value.keys())
                if parts or was is None:
                    changed[part] = parts
            elif value != was:
                changed[part] = value
        self.written = now
        step = {"actor": actor, "kind": kind, "says": says, "changed": changed, **more}
        if line:
            step["line"] = [f"servers/{self.model}.py", 40 + line]
        self.steps.append(step)

    def call(self, name: str, args: str, result: str, says: str, line: int, data: str = "") -> None:
        self.counters["calls"] += 1
        call = {"name": name, "args": args, "result": result} | ({"data": data} if data else {})
        text = f"{name}({args})" + (f" → {result}" if result else "")
        self.step("server", "call", says, line, call=call, text=text)

    def sleep_until(self, ready: Callable[[], Any], what: str, of: str, line: int) -> bool:
        """Sleep in a call until something is there; False when the script is over."""
        if ready():
            return True
        self.counters["sleeps"] += 1
        self.server = {"state": "sleeping", "in": what} | ({"of": of} if of else {})
        name, _, args = what.partition("(")
        call = {"name": name, "args": args[:-1], "result": ""}
        whom = f": {of} has nothing to say" if of else ""
        said = f"The server sleeps in `{what}`{whom}."
        self.step("server", "sleep", said, line, call=call, text=what)
        while not ready():
            if not self.act():
                return False
        self.server = {"state": "running"}
        self.step("server", "wake", f"`{what}` returns: the server runs again.", line,
                  call=call, text=what)  # fmt: skip
        return True

    def act(self) -> bool:
        who, what, data = next(self.script, ("", "", ""))
        if not who:
            return False
        its = self.clients[who]
        if what == "connect":
            its["state"] = "ESTABLISHED"
            self.waiting.append(who)
            self.did[who] = {"state": "running", "did": "connected"}
            says = f"{who} connects. The kernel shakes hands, and puts it into the accept queue."
        elif what == "send":
            its["in"] += data.replace("\n", "\\n")
            its["in_bytes"] += len(data)
            whole = data.endswith("\n")
            shown = data.replace("\n", "\\n")
            self.did[who] = {
                "state": "waiting" if whole else "running",
                "did": f"sent `{shown}`" + ("" if whole else ", thinks"),
            }
            says = f"{who} sends `{shown}`. It lies in the socket's receive buffer."
        else:
            its["eof"], its["state"] = True, "CLOSE_WAIT"
            self.did[who] = {"state": "ended", "did": "closed"}
            says = f"{who} closes its end."
        self.step(who, "act", says)
        return True

    # --- what servers do ---

    def accept(self, line: int) -> int:
        who = self.waiting.pop(0)
        taken = {its["fd"] for its in self.clients.values()}
        fd = next(n for n in range(5 if self.model == "epoll" else 4, 99) if n not in taken)
        self.clients[who]["fd"] = fd
        self.counters["served"] += 1
        self.call("accept", str(LISTENER), str(fd), f"The server takes {who} out of the accept"
                  f" queue: from now on it is fd {fd}.", line)  # fmt: skip
        return fd

    def read(self, fd: int, line: int) -> str:
        who = self.owner(fd)
        its = self.clients[who]
        data, many = its["in"], its["in_bytes"]
        its["in"], its["in_bytes"] = "", 0
        self.counters["copied"] += many
        said = f"The server reads {many} bytes from {who}: `{data}`." if data else (
            f"The server reads 0 bytes from {who}: the end of the stream."
        )  # fmt: skip
        self.call("readv", str(fd), f"{many} bytes", said, line, data)
        return str(data)

    def reply(self, fd: int, data: str, line: int) -> None:
        who = self.owner(fd)
        if data.endswith("\\n"):
            self.did[who] = {"state": "running", "did": "has its echo"}
        self.counters["copied"] += len(data)
        self.call("writev", str(fd), f"{len(data)} bytes", f"The server echoes `{data}` to {who}.",
                  line, data)  # fmt: skip

    def close(self, fd: int, line: int) -> None:
        who = self.owner(fd)
        self.clients[who].update({"fd": None, "state": ""})
        self.call("close", str(fd), "", f"The server closes fd {fd}; {who} is gone.", line)


def _blocking(toy: Toy) -> None:
    while toy.sleep_until(lambda: toy.waiting, f"accept({LISTENER})", "", 1):
        fd = toy.accept(1)
        readable = functools.partial(toy.can_read, fd)
        while toy.sleep_until(readable, f"readv({fd})", toy.owner(fd), 5):
            data = toy.read(fd, 5)
            if not data:
                break
            toy.reply(fd, data, 6)
        else:
            return
        toy.close(fd, 7)


def _ready_ones(toy: Toy) -> Iterator[int]:
    toy.ready = []
    what = "epoll_wait(4)" if toy.model == "epoll" else f"select({len(toy.interest)} fds)"
    ready = lambda: [fd for fd in toy.interest if toy.can_read(fd)]  # noqa: E731
    if not toy.sleep_until(ready, what, "", 2):
        return
    toy.ready = ready()
    toy.counters["looked"] += len(toy.ready) if toy.model == "epoll" else len(toy.interest)
    name, _, args = what.partition("(")
    named = " and ".join(str(fd) for fd in toy.ready)
    toy.call(name, args[:-1], f"{len(toy.ready)} ready", f"Ready: fd {named}.", 2)
    yield from list(toy.ready)


def _multiplexing(toy: Toy) -> None:
    toy.interest = [LISTENER]
    while True:
        some = False
        for fd in _ready_ones(toy):
            some = True
            if fd == LISTENER:
                new = toy.accept(5)
                toy.interest.append(new)
                if toy.model == "epoll":
                    toy.call("epoll_ctl", f"4, ADD, {new}, IN", "", f"From now on the kernel"
                             f" watches fd {new} for the server.", 6)  # fmt: skip
                continue
            data = toy.read(fd, 8 if toy.model == "epoll" else 7)
            if data:
                toy.reply(fd, data, 10 if toy.model == "epoll" else 9)
                continue
            toy.interest.remove(fd)
            if toy.model == "epoll":
                toy.call("epoll_ctl", f"4, DEL, {fd}", "", f"fd {fd} comes off the list.", 12)
            toy.close(fd, 13 if toy.model == "epoll" else 12)
        if not some:
            return


def toy(model: str, script: list[Act] = SLOW, title: str = "One slow client") -> dict[str, Any]:
    """A recording of a script against one of blocking, select, epoll."""
    run = Toy(model, list(script))
    run.step("server", "call", "The server listens on fd 3.", 1,
             call={"name": "listen", "args": "3", "result": ""}, text="listen(3)")  # fmt: skip
    (_blocking if model == "blocking" else _multiplexing)(run)
    actors = [{"id": "server", "kind": "server", "name": "server"}] + [
        {"id": name, "kind": "client", "name": name, "about": "slow" if name == "A" else ""}
        for name in run.names
    ]
    return {
        "format": 1,
        "model": model,
        "idea": {
            "blocking": "one connection at a time; the next client waits",
            "select": "ask the kernel about a set; rebuild it each time",
            "epoll": "tell the kernel once; hear only who is ready",
        }[model],
        "scenario": title.lower().replace(" ", "-"),
        "title": title,
        "about": "A sends half a word and thinks. Does B wait for it?",
        "made": "a toy kernel",
        "actors": actors,
        "files": {
            f"servers/{model}.py": [
                {"first": 41, "lines": [line[4:] for line in SOURCE[model].splitlines()]}
            ]
        },
        "steps": run.steps,
    }


def five() -> list[Act]:
    """Five clients; A and C are in no hurry."""
    names = "ABCDE"
    return [
        *((name, "connect", "") for name in names),
        ("A", "send", "he"), ("B", "send", "hi\n"), ("C", "send", "good mor"),
        ("D", "send", "a longer line\n"), ("E", "send", "x\n"), ("C", "send", "ning\n"),
        ("A", "send", "llo\n"),
        *((name, "close", "") for name in names),
    ]  # fmt: skip


def long(steps: int = 500) -> dict[str, Any]:
    """A recording with that many steps."""
    script: list[Act] = [("A", "connect", ""), ("B", "connect", ""), ("C", "connect", "")]
    for n in range(steps):
        script.append(("ABC"[n % 3], "send", f"word {n}\n"))
    recording = toy("epoll", script, "A long run")
    recording["steps"] = recording["steps"][:steps]
    return recording
