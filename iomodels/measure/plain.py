"""The calls of the clients' loop in plain Python, for where there is no numba.

The same names as in compiled.py.
"""

from __future__ import annotations

import os
import select
import time
from array import array
from collections.abc import Callable
from typing import Any, Final, TypeVar

__all__ = [
    "bits_of",
    "bytes_of",
    "compiled",
    "fd_of",
    "handle_of",
    "integers",
    "now",
    "read",
    "room_for_bytes",
    "room_for_events",
    "same",
    "wait",
    "watch",
    "write",
]

Function = TypeVar("Function", bound=Callable[..., Any])

EVENTS: Final = 512  # events that one wait brings
READ: Final = 256 * 1024  # bytes that one read brings

Array = Any  # an array, or a list of one element, to put something in


def compiled(function: Function) -> Function:
    """Leave it as it is."""
    return function


def integers(count: int) -> Array:
    """So many zeros."""
    return array("q", bytes(8 * count))


def bytes_of(data: bytes) -> Array:
    """The bytes as they are."""
    return data


def room_for_events() -> Array:
    """Where `wait` puts what epoll returns."""
    return [[]]


def room_for_bytes() -> Array:
    """Where `read` puts what it has read."""
    return [b""]


def handle_of(epoll: select.epoll) -> select.epoll:
    """What `wait` and `watch` take."""
    return epoll


now = time.monotonic_ns


def wait(handle: select.epoll, events: Array, milliseconds: int) -> int:
    """Wait for events; return how many there are."""
    events[0] = handle.poll(milliseconds / 1000, EVENTS)
    return len(events[0])


def fd_of(events: Array, i: int) -> int:
    """The fd of an event."""
    return events[0][i][0]  # type: ignore[no-any-return]


def bits_of(events: Array, i: int) -> int:
    """The bits of an event."""
    return events[0][i][1]  # type: ignore[no-any-return]


def watch(handle: select.epoll, fd: int, bits: int) -> None:
    """Wait for these events of a client from now on; none of them takes it off the list."""
    if bits:
        handle.modify(fd, bits)
    else:
        handle.unregister(fd)


def read(fd: int, buffer: Array) -> int:
    """Read into the buffer; -1 for an error, EAGAIN among them."""
    try:
        buffer[0] = os.read(fd, READ)
    except OSError:
        return -1
    return len(buffer[0])


def write(fd: int, data: bytes, start: int, size: int) -> int:
    """Write a part of `data`; return how much was taken, 0 for an error too."""
    try:
        return os.write(fd, data[start : start + size])
    except OSError:
        return 0


def same(buffer: Array, size: int, data: bytes, at: int) -> bool:
    """Tell whether what was read stands at `at` in the data."""
    return buffer[0] == data[at : at + size]  # type: ignore[no-any-return]
