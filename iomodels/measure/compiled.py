"""The calls of the clients' loop as numba compiles them: straight to the C library.

The same names as in plain.py. Each symbol is looked up in the running process, so what numba has
compiled once, it may keep in its cache.
"""

from __future__ import annotations

import platform
import select
from typing import Any, Final

import numba
import numpy as np
from numba.core import types

from iomodels.measure import plain
from iomodels.measure.plain import EVENTS, READ, Function

__all__ = plain.__all__

Array = Any  # a numpy array
external: Any = types.ExternalFunction
int32, intp = types.int32, types.intp

c_read = external("read", intp(int32, intp, intp))
c_write = external("write", intp(int32, intp, intp))
c_memcmp = external("memcmp", int32(intp, intp, intp))
c_epoll_wait = external("epoll_wait", int32(int32, intp, int32, int32))
c_epoll_ctl = external("epoll_ctl", int32(int32, int32, int32, intp))
c_clock_gettime = external("clock_gettime", int32(int32, intp))
CLOCK_MONOTONIC: Final = 1
EPOLL_CTL_DEL: Final = 2
EPOLL_CTL_MOD: Final = 3

# struct epoll_event: 32 bits of events, 64 of data; packed on x86-64, and nowhere else.
PACKED = platform.machine() == "x86_64"
STRIDE: Final = 3 if PACKED else 4  # in units of 32 bits
DATA: Final = 1 if PACKED else 2


def compiled(function: Function) -> Function:
    """Compile a function, or take it from the cache of an earlier run."""
    made: Function = numba.njit(function, cache=True)
    return made


def integers(count: int) -> Array:
    """So many zeros."""
    return np.zeros(count, np.int64)


def bytes_of(data: bytes) -> Array:
    """The bytes as an array."""
    return np.frombuffer(data, np.uint8)


def room_for_events() -> Array:
    """Where epoll_wait writes."""
    return np.zeros(STRIDE * EVENTS, np.uint32)


def room_for_bytes() -> Array:
    """Where read writes."""
    return np.zeros(READ, np.uint8)


def handle_of(epoll: select.epoll) -> int:
    """What `wait` and `watch` take."""
    return epoll.fileno()


@compiled
def now() -> int:
    """Nanoseconds of a clock that only goes forward."""
    timespec = np.empty(2, np.int64)
    c_clock_gettime(CLOCK_MONOTONIC, timespec.ctypes.data)
    return int(timespec[0] * 1_000_000_000 + timespec[1])


@compiled
def wait(handle: int, events: Array, milliseconds: int) -> int:
    """Wait for events; return how many there are."""
    return max(0, int(c_epoll_wait(handle, events.ctypes.data, EVENTS, milliseconds)))


@compiled
def fd_of(events: Array, i: int) -> int:
    """The fd of an event."""
    return int(events[STRIDE * i + DATA])


@compiled
def bits_of(events: Array, i: int) -> int:
    """The bits of an event."""
    return int(events[STRIDE * i])


@compiled
def watch(handle: int, fd: int, bits: int) -> None:
    """Wait for these events of a client from now on; none of them takes it off the list."""
    event = np.zeros(4, np.uint32)
    event[0], event[DATA] = bits, fd
    operation = EPOLL_CTL_MOD if bits else EPOLL_CTL_DEL
    c_epoll_ctl(handle, operation, fd, event.ctypes.data)


@compiled
def read(fd: int, buffer: Array) -> int:
    """Read into the buffer; -1 for an error, EAGAIN among them."""
    return int(c_read(fd, buffer.ctypes.data, READ))


@compiled
def write(fd: int, data: Array, start: int, size: int) -> int:
    """Write a part of `data`; return how much was taken, 0 for an error too."""
    return max(0, int(c_write(fd, data.ctypes.data + start, size)))


@compiled
def same(buffer: Array, size: int, data: Array, at: int) -> bool:
    """Tell whether the first bytes of the buffer stand at `at` in the data."""
    if at + size > data.size:
        return False
    return bool(c_memcmp(buffer.ctypes.data, data.ctypes.data + at, size) == 0)
