"""The loop of the clients: wait, read, check, count, ask again. Compiled where numba is there.

A load that is slower than the server measures itself. So the loop is written in the part of Python
that numba compiles, and calls read(2), write(2), epoll_wait(2) and memcmp(3) of the C library:
some 1.5 µs a message, nearly all of it spent in the kernel. Where there is no numba, or with
NUMBA_DISABLE_JIT=1, the same loop runs as plain Python over `os` and `select`, four times slower,
and a fast server will wait for it; `load` says so.

The calls are in compiled.py and plain.py, under the same names.

All that is known of a client stands in arrays indexed by its fd. `talk` says what is in them.
"""

from __future__ import annotations

import math
from typing import Any, Final

from iomodels.measure.calls import bits_of, compiled, fd_of, now, read, same, wait, watch, write

IN: Final = 1  # EPOLLIN
OUT: Final = 4  # EPOLLOUT
PER_OCTAVE: Final = 32  # buckets of the histogram: a latency is known to 2 %
BUCKETS: Final = 64 * PER_OCTAVE

# What stands where in `tally`.
OPEN: Final = 0  # connections that are open
MESSAGES: Final = 1  # replies that have come, whole
SERVED: Final = 2  # connections that had a reply
LOST: Final = 3  # connections that the server ended
LONGEST: Final = 4  # the longest latency, ns
WRONG: Final = 5  # bytes of the read in which one was wrong; 0: none was
WRONG_AT: Final = 6  # where in the ring of replies that read began
TALLY: Final = 7

Array = Any  # of integers or of bytes, by fd or by place


@compiled
def flush(
    handle: Any, fd: int, place: Array, unsent: Array, blocked: Array, requests: Array, ring: int
) -> None:
    """Send what was asked and not yet sent; wait for room when the kernel does not take it all."""
    start = place[fd] - unsent[fd]
    if start < 0:
        start += ring
    unsent[fd] -= write(fd, requests, start, unsent[fd])
    if (unsent[fd] > 0) != (blocked[fd] > 0):
        blocked[fd] = unsent[fd] > 0
        watch(handle, fd, IN | OUT if blocked[fd] else IN)


@compiled
def ask(
    fd: int, count: int, clock: int, place: Array, unsent: Array, oldest: Array, under_way: Array,
    times: Array, in_flight: int, request: int, ring: int,
) -> None:  # fmt: skip
    """Take note of `count` more messages to send, and of when."""
    for _ in range(count):
        times[fd * in_flight + (oldest[fd] + under_way[fd]) % in_flight] = clock
        under_way[fd] += 1
    unsent[fd] += count * request
    place[fd] = (place[fd] + count * request) % ring


@compiled
def talk(
    handle: Any,
    place: Array,  # where in the ring of requests the next message begins
    unsent: Array,  # bytes before that place that are still to be sent
    blocked: Array,  # 1: waits for room to send them
    heard: Array,  # where in the ring of replies the next byte stands
    oldest: Array,  # where in its part of `times` the oldest message under way stands
    under_way: Array,  # messages sent, or to be sent, and not answered
    times: Array,  # in_flight for each fd: when they were asked, ns
    served: Array,  # 1: had a reply
    histogram: Array,  # replies by their latency: BUCKETS of them, PER_OCTAVE for each power of 2
    tally: Array,
    requests: Array,
    replies: Array,
    request_ring: int,  # bytes of the ring of requests; `requests` goes on a little beyond
    reply_ring: int,
    request: int,  # bytes of one
    reply: int,
    in_flight: int,
    buffer: Array,
    events: Array,
    until: int,  # when to end, ns
    enough: int,  # end before that when so many clients were served; 0: do not
    asking: bool,  # ask again for each reply
) -> None:
    """Let all clients talk. What has become of it stands in the arrays."""
    clock = now()
    while clock < until and tally[OPEN] and not (enough and tally[SERVED] >= enough):
        for i in range(wait(handle, events, min((until - clock) // 1_000_000 + 1, 100))):
            fd, bits = fd_of(events, i), bits_of(events, i)
            if bits & OUT:
                flush(handle, fd, place, unsent, blocked, requests, request_ring)
            if not bits & ~OUT:
                continue
            size = read(fd, buffer)
            if size == 0 or (size < 0 and bits & ~(IN | OUT)):
                watch(handle, fd, 0)
                tally[OPEN] -= 1
                tally[LOST] += 1
                under_way[fd] = 0
                continue
            if size < 0:
                continue
            clock = now()
            at = heard[fd]
            answered = (at % reply + size) // reply
            if not same(buffer, size, replies, at) or answered > under_way[fd]:
                tally[WRONG], tally[WRONG_AT] = size, at
                return
            heard[fd] = (at + size) % reply_ring
            for _ in range(answered):
                took = clock - times[fd * in_flight + oldest[fd]]
                oldest[fd] = (oldest[fd] + 1) % in_flight
                histogram[int(math.log2(took + 1) * PER_OCTAVE)] += 1
                tally[LONGEST] = max(tally[LONGEST], took)
            under_way[fd] -= answered
            tally[MESSAGES] += answered
            if answered and not served[fd]:
                served[fd] = 1
                tally[SERVED] += 1
            if answered and asking:
                ask(
                    fd, answered, clock, place, unsent, oldest, under_way, times,
                    in_flight, request, request_ring,
                )  # fmt: skip
                flush(handle, fd, place, unsent, blocked, requests, request_ring)
        clock = now()
