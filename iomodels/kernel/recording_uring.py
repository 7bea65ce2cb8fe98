"""A ring that writes down each io_uring_enter: what was handed over, and what is done.

    io_uring_enter('recv(6)', None) -> [recv(6) = 5]

Each request stands as the call that it takes the place of. Writing one into the queue is no system
call, so it is not written down by itself. Where nothing is done yet, `enter` is two system calls,
one that hands over and one that waits (uring.py); they stand as one.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import TYPE_CHECKING

from iomodels.kernel.uring import BUFFER, MORE, SHIFT, Buffer, Completion, Ring

if TYPE_CHECKING:
    from iomodels.kernel.recording import RecordingKernel

__all__ = ["Completed", "RecordingRing"]


class Completed(tuple[int, int, int]):
    """A completion that knows what was asked, and which bytes came or went."""

    request: str
    data: bytes

    def __repr__(self) -> str:
        result = self[1] if self[1] >= 0 else f"-{errno.errorcode[-self[1]]}"
        return f"{self.request} = {result}"


class RecordingRing:
    """Any ring, `inner`; its calls of `enter` are added to the kernel's."""

    def __init__(self, kernel: RecordingKernel, inner: Ring) -> None:
        self.kernel, self.inner = kernel, inner
        self.close = inner.close
        self.fresh: list[str] = []  # handed over by the next `enter`
        self.pending: dict[int, tuple[str, Sequence[Buffer]]] = {}  # by user_data
        self.buffers: dict[int, bytearray] = {}  # by number

    def accept(self, listener: int, user_data: int, multishot: bool = True) -> None:
        self.inner.accept(listener, user_data, multishot)
        self._note(f"accept({listener})", user_data)

    def provide(self, number: int, buffer: bytearray, user_data: int) -> None:
        self.inner.provide(number, buffer, user_data)
        self.buffers[number] = buffer
        self._note(f"provide({number})", user_data)

    def recv(self, fd: int, user_data: int, flags: int = 0, size: int = 0) -> None:
        self.inner.recv(fd, user_data, flags, size)
        self._note(f"recv({fd})", user_data)

    def send(self, fd: int, buffers: Sequence[Buffer], user_data: int) -> None:
        self.inner.send(fd, buffers, user_data)
        self._note(f"send({fd}, {sum(map(len, buffers))})", user_data, buffers)

    def cancel(self, fd: int, user_data: int) -> None:
        self.inner.cancel(fd, user_data)
        self._note(f"cancel({fd})", user_data)

    def cancel_request(self, target: int, user_data: int) -> None:
        self.inner.cancel_request(target, user_data)
        self._note("cancel", user_data)

    def enter(self, timeout: float | None) -> list[Completion]:
        asked, self.fresh = [*self.fresh, timeout], []
        done: list[Completion] = self.kernel.record(
            "io_uring_enter",
            lambda: [self._completed(*each) for each in self.inner.enter(timeout)],
            asked,
            lambda completed: b"".join(each.data for each in completed),
        )
        return done

    def _note(self, request: str, user_data: int, buffers: Sequence[Buffer] = ()) -> None:
        self.fresh.append(request)
        self.pending[user_data] = request, buffers

    def _completed(self, user_data: int, result: int, flags: int) -> Completed:
        completed = Completed((user_data, result, flags))
        completed.request, buffers = self.pending[user_data]
        if not flags & MORE:
            del self.pending[user_data]
        if flags & BUFFER:
            buffers = [self.buffers[flags >> SHIFT]]
        completed.data = b"".join(buffers)[: max(0, result)]
        return completed
