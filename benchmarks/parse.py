"""Parsing: nanoseconds per frame, for every parser on the same bytes, payloads compared.

Server side: masked binary frames. parsers.py says how each is driven, and what is counted. The
parsers take turns, round after round, with the collector off; of each the best time counts. Before
that, each has to hand out the very payloads that went in.
"""

from __future__ import annotations

import gc
import random
import time
import tracemalloc
from collections.abc import Callable
from importlib.util import find_spec

from benchmarks.parsers import LIMITS, OURS, PEERS, Maker, drop
from iomodels.measure.progress import progress
from iomodels.websocket import BINARY, encode

FRAMES = {16: 10_000, 125: 4_000, 1024: 1_000, 16 * 1024: 64, 1 << 20: 4}  # by bytes of payload
TURN = 0.02  # seconds that a parser has in each round, at least


def payloads_and_stream(size: int) -> tuple[list[bytes], bytes]:
    chance = random.Random(size)
    payloads = [chance.randbytes(size) for _ in range(FRAMES[size])]
    return payloads, b"".join(encode(BINARY, it, chance.randbytes(4)) for it in payloads)


def check(name: str, maker: Maker, payloads: list[bytes], stream: bytes) -> None:
    """Raise unless it hands out these payloads, byte by byte, twice over."""
    due = iter(payloads)

    def compare(payload: object) -> None:
        if payload != next(due, None):
            raise AssertionError(f"{name}: a payload is not the one that was sent")

    feed = maker(stream, compare)
    feed()
    assert next(due, None) is None, f"{name}: a payload is missing"
    if name == "ours, scan in place":
        return  # it has unmasked its only copy
    due = iter(payloads)
    feed()


def parse(rounds: int = 12) -> dict[str, dict[int, float]]:
    """Nanoseconds per frame, by parser and by bytes of payload. A peer that is missing is not."""
    makers = LIMITS | OURS | {name: maker for name, maker in PEERS.items() if find_spec(name)}
    best: dict[str, dict[int, float]] = {name: {} for name in makers}
    with progress("Parsing") as step:
        for place, (size, frames) in enumerate(FRAMES.items()):
            payloads, stream = payloads_and_stream(size)
            for name, maker in makers.items():
                if name not in LIMITS:
                    check(name, maker, payloads, stream)
            feeds = {name: maker(stream, drop) for name, maker in makers.items()}
            for number in range(rounds):
                step((place + number / rounds) / len(FRAMES), f"{size:,} bytes")
                for name, feed in feeds.items():
                    took = least(feed) / frames
                    best[name][size] = min(best[name].get(size, took), took)
    return best


def least(feed: Callable[[], None]) -> int:
    """The least time of one turn, in nanoseconds."""
    gc.collect()
    gc.disable()
    try:
        shortest, end = 1 << 62, time.perf_counter_ns() + int(TURN * 1e9)
        while True:
            start = time.perf_counter_ns()
            feed()
            now = time.perf_counter_ns()
            shortest = min(shortest, now - start)
            if now > end:
                return shortest
    finally:
        gc.enable()


def allocated_per_frame() -> float:
    """Bytes that the scanner allocates for one more frame in the window, at its peak.

    From Python's allocators (tracemalloc) and from numba's own.
    """
    from numba.core.runtime import _nrt_python as numba_runtime

    from iomodels.websocket.scan import CAPACITY, Scanner

    scan = Scanner().scan
    payloads, stream = payloads_and_stream(125)
    size = len(stream) // len(payloads)
    numba_runtime.memsys_enable_stats()

    def peak(frames: int) -> int:
        memory = memoryview(bytearray(stream[: frames * size]))
        scan(memory, 0, len(memory), 125)
        before = numba_runtime.memsys_get_stats_alloc()
        tracemalloc.start()
        tracemalloc.reset_peak()
        rows, _, _ = scan(memory, 0, len(memory), 125)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(rows) == frames
        return peak + numba_runtime.memsys_get_stats_alloc() - before

    few = 300  # more than 256: Python keeps the smaller ints, and makes the larger ones
    return (peak(CAPACITY) - peak(few)) / (CAPACITY - few)
