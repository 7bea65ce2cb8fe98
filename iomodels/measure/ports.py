"""What connect(2) takes as the ports of one source address are used up.

    curve = connecting(4_000)
    print(curve.before, curve.beyond)

A connection is known by four numbers: both addresses, both ports. Towards one listener and from one
address, three of them are given, and the kernel looks for the fourth. It begins where it found the
last one and tries every second port; only when none of those is free does it try the others
(net/ipv4/inet_hashtables.c, __inet_hash_connect). So half of the range is found at once, and each
one of the other half after a walk past the whole first half.

It is measured in a network namespace of its own (million/network.py), with a range as small as one
process can fill: nobody else's ports are used up, and nobody else's are in the way.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from iomodels.measure.child import say
from iomodels.measure.fresh import fresh
from iomodels.measure.limits import SPARE, leave_from, raise_soft_limit
from iomodels.measure.million.network import private_network

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
LOWEST = 20_000
BATCHES = 40  # points of the curve


@dataclass(frozen=True)
class Curve:
    """The median time of a connect(2), batch after batch, until no port was free."""

    ports: int  # in the range
    held: tuple[int, ...]  # connections that there were at the end of each batch
    seconds: tuple[float, ...]  # for one connect
    error: str  # what the next connect said: EADDRNOTAVAIL
    next_address: bool  # whether one from another source address went through then

    @property
    def before(self) -> float:
        """Seconds for a connect in the second fourth of the range: before the middle."""
        return self._within(0.25, 0.5)

    @property
    def beyond(self) -> float:
        """Seconds for a connect in the third fourth: beyond the middle."""
        return self._within(0.525, 0.75)

    def _within(self, low: float, high: float) -> float:
        ends = zip(self.held, self.seconds, strict=True)
        return median(time for many, time in ends if low < many / self.ports <= high)


def room() -> int:
    """How many ports one process can use up: both ends of each connection are its own."""
    return max(2, (raise_soft_limit() - SPARE) // 2 // BATCHES * BATCHES)


def connecting(ports: int) -> Curve:
    """Use up so many ports, a multiple of 40, of one source address.

    Raises NotMeasured where there is no network namespace to be had, and when the descriptors do
    not suffice (see `room`).
    """
    found = fresh("iomodels.measure.ports", ports, "Using up the ports")
    return Curve(**found | {name: tuple(found[name]) for name in ("held", "seconds")})


# --- in the child ---


def main(ports: int) -> None:
    """Connect until there is no port, and say what each batch took."""
    if why := private_network(4 * ports):
        sys.exit(f"no network namespace of its own: {why}")
    raise_soft_limit()
    RANGE.write_text(f"{LOWEST} {LOWEST + ports - 1}")
    held: list[int] = []
    seconds: list[float] = []
    gc.disable()
    with contextlib.ExitStack() as opened:
        listener = opened.enter_context(socket.socket())
        listener.bind(("127.0.0.1", LOWEST - 1))  # outside of the range
        listener.listen()
        for batch in range(BATCHES):
            say(done=batch / BATCHES, what=f"{batch * ports // BATCHES:,} of {ports:,}")
            times = [timed(listener, "127.0.0.1", opened) for _ in range(ports // BATCHES)]
            held.append((batch + 1) * len(times))
            seconds.append(median(times))
        try:
            timed(listener, "127.0.0.1", opened)
            error = ""
        except OSError as caught:
            error = errno.errorcode[caught.errno or 0]
        went_through = timed(listener, "127.0.0.2", opened) > 0
        found = {"ports": ports, "held": held, "seconds": seconds, "error": error}
        say(found=found | {"next_address": went_through})


def timed(listener: socket.socket, address: str, opened: contextlib.ExitStack) -> float:
    """Seconds for one connect from this address; both ends stay open."""
    sock = opened.enter_context(socket.socket())
    leave_from(sock, address)
    started = time.perf_counter()
    sock.connect(listener.getsockname())
    seconds = time.perf_counter() - started
    opened.enter_context(listener.accept()[0])
    return seconds


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
