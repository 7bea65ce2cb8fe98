"""The connections of a server that does no I/O itself, but orders it and hears when it is done.

What `Connections` (connections.py) is for readiness, this is for completion, and the rules are the
same: one read at a step; nothing is read from a client before its answer is out; nobody takes for
ever; nobody who does not read holds up the others or the server's memory. Three things differ, and
all come from one: between the order and its completion, the kernel works, not we.

1. **The buffer.** With readiness, one window serves all: it is filled and emptied within a step.
   Here a recv may wait for a day, and needs a buffer when the bytes come. A buffer for each recv
   would be 32 KiB for each idle client. So there is a pool: the kernel takes a buffer out when
   there is something to put into it, and an idle connection holds none. The answer may lie in it
   (an echo is nothing else), so it goes back only when the answer has been sent. A client that does
   not take its answer keeps it, and the pool gets a new one.
2. **What is sent must not change** until it is. An app must not use the memory of an answer again
   for the next one.
3. **Closing.** A request holds on to its file. After close(2) the number is free, but the recv that
   still waits keeps the connection open: the client would never see the end. So whatever is
   under way is cancelled first, and the fd is closed when its last completion is there. As long as
   that takes, the number stays taken. Only when somebody else has closed it can a completion be
   about one who had the number before: so each number has an age, and each request carries it. And
   after EBADF nothing is done by that number, for it may be the next client's already.
"""

from __future__ import annotations

import errno
import socket
from collections import deque
from typing import TYPE_CHECKING

from iomodels.apps import BACKLOG, CLOSE, Answer, App, Buffer, is_timed, publishes
from iomodels.kernel import Kernel
from iomodels.kernel.uring import BUFFER, SHIFT
from iomodels.servers.connections import IOV_MAX, LAST_READS, LINGER, close, reset_on_close
from iomodels.servers.deadlines import Deadlines

if TYPE_CHECKING:
    from iomodels.kernel.uring import Ring

# What a request is about: the lowest bits of its user_data. Above them the fd, and above that the
# age of its number.
RECV, SEND, ACCEPT, PROVIDE, CANCEL = range(5)
BITS = 3
KIND = (1 << BITS) - 1
AGE = 32  # bits up; an fd has 31
NUMBER = (1 << AGE) - 1

# What a connection's byte says; these add up. An idle one is OPEN and READING.
FREE = 0  # not ours
OPEN = 1
READING = 2  # a recv is with the kernel
SENDING = 4  # a send is
LAST = 8  # when all is sent, we say goodbye
LATE = 16  # added to LAST: no, we hang up
LEAVING = 32  # our end is shut down; waits for the client to leave
CLOSING = 64  # not OPEN any more: it is closed when the kernel has let go of it

# The pool: 4 MiB, whether anybody is connected or not. More buffers: more clients may speak at once
# and none has to be told "no buffer". Larger ones: fewer reads for a large message.
BUFFERS = 128
SIZE = 32 * 1024  # bytes that one read may bring

AGAIN = {-errno.EINTR, -errno.EAGAIN}


class Completions:
    """The connections of one server, and what the kernel is to do for each."""

    def __init__(self, app: App, kernel: Kernel, ring: Ring) -> None:
        self.app, self.kernel, self.ring = app, kernel, ring
        # Written to, so that the memory is there from the start: the pool does not grow.
        self.pool = [bytearray(b"-") * SIZE for _ in range(BUFFERS)]
        self.views = [memoryview(buffer) for buffer in self.pool]
        self.states = bytearray(64)  # by fd
        self.ages = bytearray(64)  # by fd: how often the number has been closed by somebody else
        self.unsent: dict[int, list[Buffer]] = {}  # by fd: what is being sent, and what is to be
        self.borrowed: dict[int, int] = {}  # by fd: number of the buffer in which that lies
        self.fresh: list[int] = []  # those for whom a send was ordered in this round
        self.ordered: list[int] = []  # and in the one before
        self.slow: set[int] = set()  # those whose send did not complete at once
        self.starved: deque[int] = deque()  # those for whom there was no buffer, and who came after
        self.last_reads: dict[int, int] = {}  # by fd, when we stop: reads that are left
        self.letters: list[bytes] = []  # published in this round
        self.deadlines = Deadlines(kernel.monotonic)  # of fd: the app's at 2 * fd, then ours
        self.write_timeout = 0.0
        self.here = 0  # fds that are ours
        self.stopping = self.over = False
        if publishes(app):
            app.publish = self.letters.append
            self.subscribed, self.subscribers = app.subscribed, app.subscribers
        if is_timed(app):
            self.write_timeout = app.write_timeout
            app.deadline = lambda fd, seconds: self.deadlines.set(2 * fd, seconds)
        for number in range(BUFFERS):
            self.give_back(number)

    def opened(self, fd: int) -> None:
        """Take over an accepted fd, and send the app's greeting or wait for the client's."""
        if fd >= len(self.states):
            self.states.extend(bytes(fd + 1))  # doubles: a byte per fd, and few copies
            self.ages.extend(bytes(fd + 1))
        if self.states[fd]:
            self.forget(fd)
        self.states[fd] = OPEN
        self.here += 1
        if answer := self.app.opened(fd):
            self.send(fd, answer)
        else:
            self.read(fd)

    def named(self, fd: int, kind: int) -> int:
        """The user_data of a request."""
        return (self.ages[fd] << AGE | fd) << BITS | kind

    def forget(self, fd: int) -> None:
        """Let go of one whose fd somebody else has closed: its number is not ours any more."""
        if self.states[fd] & OPEN:
            self.app.closed(fd)
        for kind in (RECV, SEND):
            self.ring.cancel_request(self.named(fd, kind), fd << BITS | CANCEL)
        self.deadlines.cancel(2 * fd)
        self.deadlines.cancel(2 * fd + 1)
        self.last_reads.pop(fd, None)
        self.slow.discard(fd)
        self.unsent.pop(fd, None)
        self.lend(fd)
        self.states[fd] = FREE
        self.ages[fd] = self.ages[fd] + 1 & 0xFF
        self.one_less()

    # --- receiving ---

    def read(self, fd: int, its_turn: bool = False) -> None:
        """Order a recv, unless there is one, or something to send first.

        While some wait for a buffer, everybody else waits behind them.
        """
        state = self.states[fd]
        if state & (OPEN | READING | SENDING) != OPEN:
            return
        if self.starved and not its_turn:
            return self.starved.append(fd)
        flags = 0
        if fd in self.last_reads:
            if not self.last_reads[fd]:
                return self.last_words(fd)
            self.last_reads[fd] -= 1
            flags = socket.MSG_DONTWAIT  # only what has arrived
        self.states[fd] = state | READING
        self.ring.recv(fd, self.named(fd, RECV), flags)

    def received(self, fd: int, result: int, flags: int) -> None:
        """A recv is done: `result` bytes lie in the buffer that `flags` tells of."""
        state = self.states[fd] = self.states[fd] & ~READING
        if not flags & BUFFER:
            return self.nothing_received(fd, result)
        number = flags >> SHIFT
        if result <= 0 or not state & OPEN or state & (LAST | LEAVING):
            self.give_back(number)  # nobody listens to this client any more
            return self.nothing_received(fd, result) if result <= 0 else self.go_on(fd)
        answer = self.app.received(fd, self.views[number][:result])
        if answer:
            self.send(fd, answer, number)
        else:
            self.give_back(number)
            self.read(fd)

    def nothing_received(self, fd: int, result: int) -> None:
        """A recv brought no bytes: the end, an error, or no buffer for them."""
        state = self.states[fd]
        if result == -errno.EBADF:
            self.forget(fd)
        elif not state & OPEN:
            self.go_on(fd)
        elif result == -errno.ENOBUFS:
            self.starved.append(fd)
        elif result == -errno.EAGAIN and fd in self.last_reads:
            self.last_words(fd)
        elif result in AGAIN or (result == -errno.ECANCELED and fd in self.last_reads):
            self.read(fd)
        elif result == 0 and state & SENDING and not state & LEAVING:
            self.states[fd] |= LAST  # it has said all, and something published is on its way to it
        else:
            self.hang_up(fd)

    def go_on(self, fd: int) -> None:
        """Do what comes after a request that brought nothing to do."""
        if self.states[fd] & OPEN:
            self.read(fd)
        elif not self.states[fd] & (READING | SENDING):
            self.release(fd)

    def give_back(self, number: int) -> None:
        """Put a buffer back into the pool."""
        self.ring.provide(number, self.pool[number], number << BITS | PROVIDE)

    # --- sending ---

    def send(self, fd: int, answer: Answer, number: int | None = None) -> None:
        """Send an answer; buffer `number` is kept out of the pool until that is done."""
        if answer[-1] is CLOSE:
            self.states[fd] |= LAST
        buffers: list[Buffer] = [buffer for buffer in answer if len(buffer)]
        if self.states[fd] & SENDING:  # something that was published; the answer comes after it
            self.unsent[fd].append(b"".join(buffers))
            if number is not None:
                self.give_back(number)
            return
        if number is not None:
            self.borrowed[fd] = number
        self.unsent[fd] = buffers
        if buffers:
            self.order_send(fd)
        else:
            self.all_sent(fd)

    def order_send(self, fd: int) -> None:
        self.states[fd] |= SENDING
        self.fresh.append(fd)
        buffers = self.unsent[fd]
        some = buffers if len(buffers) <= IOV_MAX else buffers[:IOV_MAX]
        self.ring.send(fd, some, self.named(fd, SEND))

    def sent(self, fd: int, result: int) -> None:
        """A send is done: `result` bytes have gone."""
        state = self.states[fd] = self.states[fd] & ~SENDING
        if result == -errno.EBADF:
            self.forget(fd)
        elif not state & OPEN:
            self.go_on(fd)
        elif result < 0 and result not in AGAIN:  # EPIPE, ECONNRESET; ECANCELED: it is cut off
            self.hang_up(fd)
        elif rest := remainder(self.unsent[fd], max(0, result)):
            self.unsent[fd] = rest
            self.order_send(fd)
        else:
            self.all_sent(fd)

    def all_sent(self, fd: int) -> None:
        """Nothing is left to send: take the buffer back, and go on reading, or leave."""
        self.let_go(fd)
        if fd in self.slow:
            self.slow.discard(fd)
            if not self.stopping:
                self.deadlines.cancel(2 * fd + 1)
        state = self.states[fd]
        if state & LATE:
            self.hang_up(fd)
        elif state & LAST:
            self.say_goodbye(fd)
        else:
            self.read(fd)

    def let_go(self, fd: int) -> None:
        """Forget what was sent, and take back the buffer in which it lay."""
        self.unsent.pop(fd, None)
        number = self.borrowed.pop(fd, None)
        if number is not None:
            self.give_back(number)

    def end_round(self) -> None:
        """Call this when all that was done has been dealt with."""
        self.mind_the_slow()
        self.feed_the_starved()
        self.deliver()
        self.ordered, self.fresh = self.fresh, []

    def mind_the_slow(self) -> None:
        """See to those whose send was handed over at the last wait, and is not done yet.

        They keep the buffer, and the pool gets a new one: however many do not read, the others
        find a buffer. And they have so long to take the answer.
        """
        for fd in self.ordered:
            if not self.states[fd] & SENDING:
                continue
            self.lend(fd)
            if fd not in self.slow and self.states[fd] & OPEN:
                self.slow.add(fd)
                if self.write_timeout and not self.stopping:
                    self.deadlines.set(2 * fd + 1, self.write_timeout)

    def lend(self, fd: int) -> None:
        """Leave the buffer of an answer to the kernel, and put a new one into the pool."""
        number = self.borrowed.pop(fd, None)
        if number is not None:
            self.pool[number] = bytearray(b"-") * SIZE
            self.views[number] = memoryview(self.pool[number])
            self.give_back(number)

    def feed_the_starved(self) -> None:
        """Order a recv for as many as there are buffers for."""
        for _ in range(min(len(self.starved), self.free_buffers())):
            self.read(self.starved.popleft(), its_turn=True)

    def free_buffers(self) -> int:
        """How many lie in the pool, when a round ends."""
        return BUFFERS - len(self.borrowed)

    def deliver(self) -> None:
        """Send what was published in this round to all who have subscribed.

        Not at once, for then it would come before the answer to the one who is speaking.
        """
        if not self.letters:
            return
        data = b"".join(self.letters)
        self.letters.clear()
        for fd in self.subscribers():
            if self.states[fd] & (OPEN | LAST | LEAVING) == OPEN and self.subscribed(fd):
                self.push(fd, data)

    def push(self, fd: int, data: bytes) -> None:
        """Send something to one who has not asked. Who does not read is cut off in the end."""
        if not self.states[fd] & SENDING:
            self.unsent[fd] = [data]
            self.order_send(fd)
        elif sum(map(len, self.unsent[fd])) + len(data) <= BACKLOG:
            self.unsent[fd].append(data)  # the same bytes for all: nothing is copied
        else:
            self.states[fd] |= LAST | LATE  # nothing more is published to it
            self.ring.cancel(fd, fd << BITS | CANCEL)

    # --- deadlines ---

    def patience(self) -> float | None:
        """Seconds for which the server may sleep; None: until something happens.

        Not at all while somebody waits for a buffer and there is one: those who were fed may have
        nothing to say, and then nothing would happen.
        """
        return 0.0 if self.starved and self.free_buffers() else self.deadlines.wait()

    def pause(self, fd: int, seconds: float) -> None:
        """Have `overdue` name `fd`, which is not a connection, in so many seconds: the listener."""
        self.deadlines.set(2 * fd, seconds)

    def overdue(self) -> list[int]:
        """Deal with the connections whose deadline has come; return the fds that are none."""
        others = []
        for key in self.deadlines.due():
            fd, ours = divmod(key, 2)
            state = self.states[fd] if fd < len(self.states) else FREE
            if not state:
                others.append(fd)
            elif ours or self.stopping:
                self.hang_up(fd)
            elif state & (SENDING | LEAVING):
                # The app waits for a client from whom we do not read: that is not its fault.
                self.deadlines.set(key, 1.0)
            else:
                self.expired(fd)
        return others

    def expired(self, fd: int) -> None:
        """Ask the app what to do about a deadline of its own. Nobody waits for the late."""
        answer = self.app.expired(fd) if is_timed(self.app) else ()
        if answer:
            if answer[-1] is CLOSE:
                self.states[fd] |= LATE
            self.send(fd, answer)

    # --- the end ---

    def say_goodbye(self, fd: int) -> None:
        """Shut down our end, and wait for the client to close its own: see `Connections`."""
        self.states[fd] = self.states[fd] & ~LAST | LEAVING
        self.deadlines.set(2 * fd + 1, LINGER)
        self.last_reads.pop(fd, None)
        try:
            self.kernel.shutdown(fd, socket.SHUT_WR)
        except OSError:
            return self.hang_up(fd)
        self.read(fd)

    def hang_up(self, fd: int) -> None:
        """Be done with a connection: cancel what is under way; close it when that is over."""
        state = self.states[fd]
        if not state & OPEN:
            return
        self.deadlines.cancel(2 * fd)
        self.deadlines.cancel(2 * fd + 1)
        self.last_reads.pop(fd, None)
        self.slow.discard(fd)
        self.app.closed(fd)
        if self.unsent.get(fd):
            reset_on_close(self.kernel, fd)
        self.states[fd] = state & (READING | SENDING) | CLOSING
        if state & (READING | SENDING):
            self.ring.cancel(fd, fd << BITS | CANCEL)
        else:
            self.release(fd)

    def release(self, fd: int) -> None:
        """Close an fd of which the kernel has let go; from here on, the number may come back."""
        self.let_go(fd)
        self.states[fd] = FREE
        close(self.kernel, fd)
        self.one_less()

    def one_less(self) -> None:
        self.here -= 1
        self.over = self.stopping and not self.here

    def stop(self) -> None:
        """Begin to end: answer what has arrived, say goodbye, and be `over` when all are gone."""
        self.stopping, self.over = True, not self.here
        self.starved.clear()
        for fd, state in enumerate(self.states):
            if not state & OPEN:
                continue
            self.deadlines.set(2 * fd + 1, LINGER)  # it has so long, whatever is still to be done
            if not state & (LAST | LEAVING):
                self.last_reads[fd] = LAST_READS
                if state & READING:
                    self.ring.cancel(fd, fd << BITS | CANCEL)
                else:
                    self.read(fd)

    def last_words(self, fd: int) -> None:
        """All that had arrived from this client is answered: say that we leave."""
        self.last_reads.pop(fd, None)
        answer = self.app.goodbye(fd) if is_timed(self.app) else ()
        if answer:
            self.send(fd, answer)
        elif self.states[fd] & SENDING:
            self.states[fd] |= LAST
        else:
            self.hang_up(fd)

    def abandon(self) -> None:
        """Close the ring, and every connection that is open: after an error, or at the end."""
        self.ring.close()
        for fd, state in enumerate(self.states):
            if state & OPEN:
                self.app.closed(fd)
            if state:
                self.states[fd] = FREE
                close(self.kernel, fd)


def remainder(buffers: list[Buffer], sent: int) -> list[Buffer]:
    """What is left of some buffers after their first `sent` bytes: views, not copies."""
    for index, buffer in enumerate(buffers):
        if sent < len(buffer):
            return [memoryview(buffer)[sent:], *buffers[index + 1 :]]
        sent -= len(buffer)
    return []
