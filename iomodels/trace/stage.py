"""The stage: of all threads and processes of a server, one runs at a time, when it is told to.

Each process of a server has a stage, and a channel to the recorder. A thread that would sleep in a
call does not make the call yet: it hands over, with a test that says whether the call could return
now. When all threads of a process have handed over, the stage listens to the recorder:

    look    run the tests; answer who could go on, and how the kernel stands
    see     answer only how the kernel stands, while another process runs
    go      let one thread go on, until it would sleep again

So the order in which things happen is the recorder's, and the same in each run. No thread sleeps in
the call that it says it sleeps in. That is the one thing here which is not as it would be; what the
kernel holds meanwhile, queues, buffers and lists, is what it would hold.

The clock is the recorder's too. It stands still while anybody can go on.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable
from typing import Any

from iomodels.kernel import live
from iomodels.trace.looking import to_high

FIRST_PID = 1001
MESSAGE = 1 << 18  # bytes; a Unix socket takes no longer ones by default (net.core.wmem_default)


class Actor:
    """A thread of the server, or the only one of a process."""

    def __init__(self, number: int, name: str) -> None:
        self.number, self.name = number, name
        self.turn = threading.Semaphore(0)
        self.awake: Callable[[], bool] = lambda: True  # could what it waits for return?
        self.until: float | None = None  # or is its time over
        self.ended = False
        self.told = False  # it has been found awake, and stays so until it goes on

    def may_go_on(self, now: float) -> bool:
        """Whether what it waits for has come, or its time is over."""
        if not self.told:
            self.told = self.awake() or (self.until is not None and now >= self.until)
        return self.told


class Stage:
    """The threads of this process, and the channel to the recorder."""

    def __init__(self, channel: socket.socket, look: Callable[[], dict[str, Any]]) -> None:
        """`look()` says how the kernel stands, in what JSON can carry."""
        self.channel, self.look = channel, look
        self.now = 0.0
        self.current = Actor(0, "server")
        self.actors = {0: self.current}
        self.threads: dict[threading.Thread, Actor] = {}
        self.pids: dict[int, int] = {}  # of the children: those that are told, and the real ones

    # --- what a thread does ---

    def sleep(self, awake: Callable[[], bool], until: float | None = None) -> bool:
        """Hand over until `awake()` holds, or until a moment; return False for the latter."""
        me = self.current
        me.awake, me.until, me.told = awake, until, False
        self.hand_over(me)
        return me.awake()

    def hand_over(self, me: Actor) -> None:
        """Let others run until this one is told to go on; one that has ended is not."""
        chosen = self.listen()
        if chosen is not me:
            chosen.turn.release()
            if me.ended:
                return
            me.turn.acquire()
        self.current = me

    def tell(self, **what: Any) -> None:
        """Tell the recorder something, and wait until it has taken note of it."""
        self.send(what)
        self.receive()

    # --- what the recorder is told ---

    def listen(self) -> Actor:
        """Do what the recorder says, until it names one who is to go on."""
        self.send({"say": "asleep"})
        while True:
            order = self.receive()
            self.now = order["now"]
            if order["do"] == "go":
                return self.actors[order["actor"]]
            if order["do"] == "see":
                self.send({"look": self.look()})
                continue
            waiting = [actor for actor in self.actors.values() if not actor.ended]
            self.send(
                {
                    "awake": [a.number for a in waiting if a.may_go_on(self.now)],
                    "until": min((a.until for a in waiting if a.until is not None), default=None),
                    "look": self.look(),
                }
            )

    def send(self, what: dict[str, Any]) -> None:
        self.channel.sendall(json.dumps(what).encode())

    def receive(self) -> dict[str, Any]:
        """What the recorder says. When it is gone, so is this process."""
        data = self.channel.recv(MESSAGE)
        if not data:
            os._exit(0)
        order: dict[str, Any] = json.loads(data)
        return order

    # --- those who come and go ---

    def enter(self, thread: threading.Thread) -> None:
        """Have a thread that is about to start take part; it begins when it is told to."""
        actor = Actor(max(self.actors) + 1, thread.name)
        self.actors[actor.number] = self.threads[thread] = actor
        run = thread.run

        def wait_and_run() -> None:
            actor.turn.acquire()
            self.current = actor
            try:
                run()
            finally:
                actor.ended = True
                self.tell(say="ended", actor=actor.number)
                self.hand_over(actor)

        thread.run = wait_and_run  # type: ignore[method-assign]
        self.tell(say="thread", actor=actor.number, name=thread.name)

    def has_ended(self, thread: threading.Thread) -> bool:
        """Whether a thread that takes part has ended."""
        return self.threads[thread].ended

    def fork(self) -> int:
        """fork(2), and a channel of its own for the child, who begins when it is told to.

        The pid that is returned is made up: real ones differ from run to run, and so would the
        order of a set of them.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours, theirs = to_high(ours), to_high(theirs)
        pid = live.fork()
        if pid == 0:
            ours.close()
            self.channel.close()
            self.channel = theirs
            me = self.current = Actor(0, "process")
            self.actors = {0: me}
            self.hand_over(me)
            return 0
        theirs.close()
        told = FIRST_PID + len(self.pids)
        self.pids[told] = pid
        message = json.dumps({"say": "process", "pid": pid, "told": told}).encode()
        socket.send_fds(self.channel, [message], [ours.fileno()])
        ours.close()
        self.receive()
        return told
