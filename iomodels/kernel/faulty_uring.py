"""A ring that does to a server what io_uring really does, only more often.

    EINTR          a request completes with EINTR, and nothing was transferred
    EAGAIN         a request completes with EAGAIN, and nothing was transferred
    spurious       `enter` returns with nothing, though something is done: a signal woke it
    one byte       a recv or a send transfers 1 byte of many
    no room        an accept ends with EMFILE, ENFILE, ENOBUFS or ENOMEM; the client stays queued
    ECONNABORTED   an accept ends so: the client has left while it waited in the queue
    reset          the client is gone: ECONNRESET from a recv, EPIPE or ECONNRESET from a send

How often, `Faults` says, and which connections are reset, and when; each recv and each send is a
call, as readv and writev are for `FaultyKernel`. An accept that was ordered once and completes many
times ends with the first error, as the kernel ends it: behind it, there is one for each client.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import TYPE_CHECKING

from iomodels.kernel import live
from iomodels.kernel.uring import MORE, Buffer, Completion, Ring

if TYPE_CHECKING:
    from iomodels.kernel.faulty import FaultyKernel

__all__ = ["FaultyRing"]

NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class FaultyRing:
    """A ring with the faults of its kernel."""

    def __init__(self, kernel: FaultyKernel, ring: Ring) -> None:
        self.kernel, self.ring = kernel, ring
        self.provide, self.close = ring.provide, ring.close
        self.cancel, self.cancel_request = ring.cancel, ring.cancel_request
        self.listeners: dict[int, int] = {}  # by user_data of an accept that completes many times
        self.made_up: list[Completion] = []  # of requests that the kernel never saw
        self.held: list[Completion] = []  # of those that it did; they come at the next wait

    # --- what to do ---

    def accept(self, listener: int, user_data: int, multishot: bool = True) -> None:
        if multishot:
            self.listeners[user_data] = listener
        if self.fails(user_data):
            return
        if self.kernel.strikes(self.kernel.faults.no_room):
            self.refuse(user_data, self.kernel.chance.choice(NO_ROOM))
        else:
            self.ring.accept(listener, user_data, False)

    def recv(self, fd: int, user_data: int, flags: int = 0, size: int = 0) -> None:
        if self.is_dead(fd, user_data, errno.ECONNRESET, afterwards=0):
            return
        if not self.fails(user_data):
            short = self.kernel.strikes(self.kernel.faults.short_reads)
            self.ring.recv(fd, user_data, flags, 1 if short else size)

    def send(self, fd: int, buffers: Sequence[Buffer], user_data: int) -> None:
        number = self.kernel.chance.choice((errno.EPIPE, errno.ECONNRESET))
        if self.is_dead(fd, user_data, number, afterwards=errno.EPIPE):
            return
        if not self.fails(user_data):
            if self.kernel.strikes(self.kernel.faults.short_writes):
                buffers = [next(memoryview(b)[:1] for b in buffers if len(b))]
            self.ring.send(fd, buffers, user_data)

    # --- what is done ---

    def enter(self, timeout: float | None) -> list[Completion]:
        spurious = self.kernel.strikes(self.kernel.faults.spurious)
        ready = self.held + self.made_up
        self.held, self.made_up = [], []
        for user_data, result, flags in self.ring.enter(0 if spurious or ready else timeout):
            if user_data in self.listeners:
                result, flags = self.accepted(user_data, result)
            ready.append((user_data, result, flags))
        if spurious:
            self.held, ready = ready, []
        return ready

    def accepted(self, user_data: int, result: int) -> tuple[int, int]:
        """Turn the completion of an accept into one of many, or into an error that ends them."""
        kernel = self.kernel
        if result < 0:
            return result, 0
        if kernel.strikes(kernel.faults.aborted):
            kernel.kill_connection(result)
            live.close(result)
            return -errno.ECONNABORTED, 0
        if kernel.faults.resets and kernel.accepted % 2:
            kernel.doomed[result] = kernel.accepted // 2 + 1
        kernel.accepted += 1
        self.accept(self.listeners[user_data], user_data)
        return result, MORE

    # --- the faults ---

    def refuse(self, user_data: int, number: int) -> None:
        self.made_up.append((user_data, -number, 0))

    def fails(self, user_data: int) -> bool:
        """Let a request complete with EINTR or EAGAIN, now and then, and tell whether it does."""
        for number, chance in (
            (errno.EINTR, self.kernel.faults.eintr),
            (errno.EAGAIN, self.kernel.faults.eagain),
        ):
            if self.kernel.strikes(chance):
                self.refuse(user_data, number)
                return True
        return False

    def is_dead(self, fd: int, user_data: int, number: int, afterwards: int) -> bool:
        """Let a request fail with `number` if its connection is reset by it; tell whether it fails.

        If that was reset before, with `afterwards`: 0 is the end of the stream.
        """
        try:
            dead = self.kernel.is_dead(fd, number)
        except OSError as error:
            dead, afterwards = True, error.errno or 0
        if dead:
            self.refuse(user_data, afterwards)
        return dead
