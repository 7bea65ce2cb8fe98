"""How long to wait after a client's act: until the server's kernel shows it.

On loopback that is nearly always at once. Where it is not, a step taken too early would differ from
run to run. Some things go by a clock that nobody can hold: an acknowledgement may be put off for
40 ms. It is asked for (TCP_QUICKACK, man 7 tcp), but the kernel may not do as it is asked.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from iomodels.trace.clients import Client
from iomodels.trace.looking import LATE_ACK
from iomodels.trace.processes import Process
from iomodels.trace.scenario import Act

if TYPE_CHECKING:
    from iomodels.trace.recorder import Recorder

SETTLES = 2.0  # seconds in which the kernel must show what a client did
AGREE = 1  # looks that must be as the one before
STABLE = 3  # the same, where it is not known what will come
MOMENT = 0.0005  # seconds between two looks


def settle(recorder: Recorder, act: Act, client: Client) -> list[tuple[Process, int]]:
    """Wait until the server's kernel shows what a client did; return who can go on then.

    A client may be in the accept queue before those who sleep for it are woken (tcp_check_req and
    tcp_child_process in net/ipv4/tcp_minisocks.c), so one look does not do. While something is on
    its way to a client that does not read, an acknowledgement may be late: then it must stay as it
    is for a while.
    """
    start = changed = time.monotonic()
    last: object = None
    looks = 0
    while True:
        for each in recorder.clients.values():
            each.acknowledge()
        awake = recorder.look_at_all()
        seen = awake, [process.seen for process in recorder.alive()]
        now = time.monotonic()
        looks += 1
        if seen != last:
            last, changed, looks = seen, now, 0
        # Reading shows nothing at the server's end, and where a buffer is full, nothing comes.
        come = (looks >= AGREE and has_come(recorder, act, client)) or (
            looks >= STABLE and act.verb in ("reads", "sends")
        )
        if come and (not on_their_way(recorder) or now - changed > LATE_ACK):
            return awake
        if now - start > SETTLES:
            return awake
        time.sleep(MOMENT)


def on_their_way(recorder: Recorder) -> bool:
    """Whether the server has sent anything that is not acknowledged."""
    return any(
        found["out_bytes"]
        for process in recorder.alive()
        for found in process.seen["sockets"].values()
    )


def has_come(recorder: Recorder, act: Act, client: Client) -> bool:
    """Whether there is nothing more to wait for after an act."""
    seen = seen_socket(recorder, client)
    if act.verb in ("connects", "asks again"):
        if not client.connected:
            return full(recorder)  # its SYN is dropped
        return bool(seen) or waiting(recorder) == expected(recorder)
    if act.verb == "sends":
        received = seen["received"] if seen else len(client.sent) - client.unacknowledged()
        return bool(received >= len(client.sent))
    if act.verb in ("shuts down", "closes", "resets"):
        return not seen or seen["state"] != "ESTABLISHED"
    return False


def expected(recorder: Recorder) -> int:
    """How many clients should wait in the accept queues."""
    return sum(c.connected and c.name not in recorder.accepted for c in recorder.clients.values())


def waiting(recorder: Recorder) -> int:
    """How many do."""
    return sum(waiting for waiting, _ in recorder.processes[0].seen["listeners"].values())


def full(recorder: Recorder) -> bool:
    """Whether an accept queue is, so that the next SYN is dropped."""
    listeners = recorder.processes[0].seen["listeners"].values()
    return any(waiting > backlog for waiting, backlog in listeners)


def seen_socket(recorder: Recorder, client: Client) -> dict[str, Any] | None:
    """What a process of the server sees of a client's connection, once it is accepted."""
    for process in recorder.alive():
        for found in process.seen["sockets"].values():
            if found["port"] == client.port:
                return dict(found)
    return None
