"""What a parser allocates for each frame, in bytes and in blocks.

    for row in allocations(size=1024):
        print(row.parser, row.kept, row.blocks, row.passing)

Three parsers see the same bytes: one that copies each payload out, as most libraries do; the
readable one, which hands out a row of four ints; the scanner, which writes its rows into an array
that was there before.

`kept` and `blocks` say what stays when the caller keeps all that it is handed: the slope between
some frames and twice as many, so that what a call costs once is left out. `passing` is the most
that was allocated at once while nothing is kept: the work space. Bytes are those of tracemalloc,
which sees Python's allocators; blocks are those of sys.getallocatedblocks, and of numba's own.

Where it hurts: a block that is allocated and freed before the next one is in none of the two sums,
for Python counts what is there, not what has been. It costs time all the same. The row of four
ints is such a case when the caller drops it.
"""

from __future__ import annotations

import gc
import json
import random
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from importlib import import_module

from iomodels.measure.child import say
from iomodels.measure.fresh import NotMeasured, fresh
from iomodels.websocket import BINARY, encode
from iomodels.websocket.parser import Row, parse

__all__ = ["PARSERS", "Allocated", "NotMeasured", "allocations"]

FEW = 300  # frames; Python keeps the ints to 256, and makes those above it
MOST = 1 << 24  # bytes of payload; so many frames of them fill 10 GB
NUMBA_RUNTIME = "numba.core.runtime._nrt_python"  # it counts its own blocks, when it is told to

Feed = Callable[[memoryview], Iterator[object]]  # a window of frames: what is handed out


@dataclass(frozen=True)
class Allocated:
    """What one parser allocates."""

    parser: str
    size: int  # bytes of payload
    kept: float  # bytes for each frame
    blocks: float  # for each frame
    passing: int  # bytes at once, for any number of frames


def allocations(size: int = 1024) -> list[Allocated]:
    """Measure every parser with frames of `size` bytes. Without numba there is no scanner.

    Raises ValueError for a size that is not between 1 and 64 KiB, NotMeasured when there is no
    result.
    """
    if not 1 <= size <= 65536:
        raise ValueError(f"{size} bytes: a size goes from 1 to 65,536")
    found = fresh("iomodels.measure.allocations", {"size": size}, "Allocations")
    return [Allocated(**row) for row in found]


# --- the child ---


def copying(window: memoryview) -> Iterator[bytes]:
    """Copy each payload out of the window."""
    for offset, length, _, _ in parse(window, 0, len(window), MOST):
        yield bytes(window[offset : offset + length])


def readable(window: memoryview) -> Iterator[Row]:
    """Hand out a row for each, and leave the payload where it is."""
    return parse(window, 0, len(window), MOST)


def scanner(window: memoryview) -> Iterator[object]:
    """Fill the rows of an array, all in one call, and hand out the array."""
    rows, _, stopped = scan_in_place()(window, 0, len(window), MOST)
    assert stopped == len(window)
    yield rows


@cache
def scan_in_place() -> Callable[..., tuple[object, int, int]]:
    """The scanner with its array, which is made once."""
    from iomodels.websocket.scan import Scanner

    return Scanner().scan


PARSERS: dict[str, Feed] = {"copying": copying, "readable": readable, "scanner": scanner}


def kept(feed: Feed, data: bytes) -> tuple[int, int]:
    """Bytes and blocks that are there after all that was handed out has been kept."""
    window = memoryview(bytearray(data))
    results: list[object] = [None] * (2 * FEW)
    gc.collect()  # it also empties the lists of tuples and the like that Python uses again
    tracemalloc.start()
    blocks = sys.getallocatedblocks() + numba_blocks()
    for place, result in enumerate(feed(window)):
        results[place] = result
    blocks = sys.getallocatedblocks() + numba_blocks() - blocks
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return size, blocks


def passing(feed: Feed, data: bytes) -> int:
    """The most bytes that were allocated at once, when nothing is kept."""
    window = memoryview(bytearray(data))
    gc.collect()
    tracemalloc.start()
    for _ in feed(window):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def numba_blocks() -> int:
    """Blocks that numba's run-time has allocated so far, which Python does not see."""
    runtime = sys.modules.get(NUMBA_RUNTIME)
    return runtime.memsys_get_stats_alloc() if runtime else 0


def measure(name: str, size: int) -> Allocated:
    """Measure one parser."""
    feed, chance = PARSERS[name], random.Random(size)
    few = b"".join(encode(BINARY, chance.randbytes(size), chance.randbytes(4)) for _ in range(FEW))
    kept(feed, few)  # what is made once, such as a module on its first use
    (bytes_few, blocks_few), (bytes_many, blocks_many) = kept(feed, few), kept(feed, few + few)
    return Allocated(
        name, size,
        kept=(bytes_many - bytes_few) / FEW,
        blocks=(blocks_many - blocks_few) / FEW,
        passing=passing(feed, few),
    )  # fmt: skip


def main(order: str) -> None:
    """Measure {"size": bytes} and say a row for each parser."""
    from iomodels.websocket.scan import available  # which imports numba, where it is

    size = json.loads(order)["size"]
    names = list(PARSERS)
    if available():
        import_module(NUMBA_RUNTIME).memsys_enable_stats()
    else:
        names.remove("scanner")
    found = []
    for place, name in enumerate(names):
        say(done=place / len(names), what=name)
        found.append(asdict(measure(name, size)))
    say(found=found)


if __name__ == "__main__":
    main(*sys.argv[1:])
