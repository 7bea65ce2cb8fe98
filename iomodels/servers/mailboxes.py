"""How a conversation that sleeps in readv is told what the others have to say.

A loop that has all connections can send to any of them. A thread that sleeps in readv hears its
client, and nobody else. So where an app publishes, each conversation gets a second thread, the
carrier: it sleeps at the mailbox, and takes to the client whatever is put there, answers and
published letters alike. Only one of the two sends, and so nobody breaks into another's words.

    Mailbox     letters for one client, and the thread that carries them
    Posted      the app as the conversation sees it: its answers go by mailbox
    Relay       for processes, which share no memory: a pair of sockets for each child, and in the
                parent a thread that passes on what one child publishes to all of them
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from select import EPOLLIN, EPOLLOUT

from iomodels.apps import BACKLOG, CLOSE, NOTHING, Answer, Publisher, is_timed
from iomodels.kernel import Kernel, live
from iomodels.servers.blocking import send
from iomodels.servers.connections import reset_on_close

LETTER = 64 * 1024  # bytes that can be published at once to other processes
LETTERS = 4096  # that may wait for a process which does not read them


class Mailbox:
    """What is to be sent to one client, in order."""

    def __init__(self, fd: int, kernel: Kernel, write_timeout: float) -> None:
        self.fd, self.kernel, self.write_timeout = fd, kernel, write_timeout
        self.letters: list[bytes] = []
        self.posted = self.sent = 0  # bytes, in all
        self.open = True
        self.changed = threading.Condition()  # one lock for all of this
        self.carrier = threading.Thread(target=self.carry, name=f"carrier-{fd}", daemon=True)
        self.carrier.start()

    def put(self, data: bytes) -> None:
        """Leave a letter. A client that does not read is cut off when too much waits for it."""
        with self.changed:
            if self.posted - self.sent > BACKLOG:
                reset_on_close(self.kernel, self.fd)
                return self.hang_up()
            self.letters.append(data)
            self.posted += len(data)
            self.changed.notify_all()

    def carry(self) -> None:
        """Sleep until there are letters, and send them, until the mailbox is closed."""
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.letters or not self.open)
                data = b"".join(self.letters)
                self.letters.clear()
            try:
                send(self.fd, (data,), self.kernel, self.write_timeout)
            except OSError:  # the client is gone
                self.open = False
            with self.changed:
                self.sent += len(data)
                self.changed.notify_all()
                if not self.open:
                    return

    def drain(self) -> None:
        """Sleep until all that is here now has been sent, or the client is gone."""
        with self.changed:
            until = self.posted
            self.changed.wait_for(lambda: self.sent >= until or not self.open)

    def hang_up(self) -> None:
        """Shut the connection down: whoever sleeps in a call on it wakes."""
        with contextlib.suppress(OSError):
            self.kernel.shutdown(self.fd, socket.SHUT_RDWR)

    def close(self) -> None:
        """End the carrier. After that nothing is sent, and the fd may be closed."""
        with self.changed:
            self.open = False
            self.changed.notify_all()
        self.hang_up()
        self.carrier.join()


class Posted:
    """An app whose answers go by mailbox, and then what it has published meanwhile."""

    def __init__(
        self,
        app: Publisher,
        mailbox: Mailbox,
        letters: list[bytes],
        publish: Callable[[bytes], None],
    ) -> None:
        """`letters` is where `app.publish` leaves them, `publish` is what to do with each."""
        self.app, self.mailbox, self.letters, self.publish = app, mailbox, letters, publish

    def opened(self, fd: int) -> Answer:
        return self.post(lambda: self.app.opened(fd))

    def received(self, fd: int, view: memoryview) -> Answer:
        return self.post(lambda: self.app.received(fd, view))

    def expired(self, fd: int) -> Answer:
        timed = self.app
        return self.post(lambda: timed.expired(fd)) if is_timed(timed) else NOTHING

    def goodbye(self, fd: int) -> Answer:
        timed = self.app
        return self.post(lambda: timed.goodbye(fd)) if is_timed(timed) else NOTHING

    def closed(self, fd: int) -> None:
        self.app.closed(fd)
        self.publish_all()

    def post(self, call: Callable[[], Answer]) -> Answer:
        """Send an answer before anybody's letters, for it may be what makes them welcome."""
        with self.mailbox.changed:
            answer = call()
            if answer:
                self.mailbox.put(b"".join(answer))
        self.publish_all()
        if not answer:
            return NOTHING
        self.mailbox.drain()  # a client that does not read its answers is not read from
        return (CLOSE,) if answer[-1] is CLOSE else NOTHING

    def publish_all(self) -> None:
        while self.letters:
            self.publish(self.letters.pop(0))


class Relay:
    """In the parent: a thread that hears every child, and tells all of them.

    The sockets keep letters apart (SOCK_SEQPACKET, man 7 unix). They carry no client's bytes, so
    they go by the live kernel.
    """

    def __init__(self) -> None:
        self.epoll = live.epoll()
        self.ends: set[int] = set()  # ours; each child has the other one
        self.waiting: dict[int, list[bytes]] = {}  # by end: letters for which there was no room
        bell, rope = socket.socketpair()
        self.bell, self.rope = bell.detach(), rope.detach()  # to close the rope rings the bell
        self.epoll.register(self.bell, EPOLLIN)
        self.thread = threading.Thread(target=self.run, name="relay", daemon=True)
        self.thread.start()

    def new_end(self) -> int:
        """Make a pair, listen at our end of it, and return the end that is for a child."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        end = ours.detach()
        self.epoll.register(end, EPOLLIN)
        self.ends.add(end)  # from here on the thread may write to it
        return theirs.detach()

    def leave_to_parent(self) -> None:
        """Close in a child what it has inherited of this."""
        for fd in (*self.ends, self.bell, self.rope, self.epoll.fileno()):
            live.close(fd)

    def run(self) -> None:
        """Pass on letters until the bell rings."""
        letter = bytearray(LETTER)
        while True:
            for fd, event in self.epoll.poll():
                if fd == self.bell:
                    return
                if fd in self.waiting:
                    self.pass_on(fd)
                if not event & ~EPOLLOUT:
                    continue
                try:
                    n = live.readv(fd, [letter])
                except OSError:
                    n = 0
                if n == 0:
                    self.drop(fd)
                    continue
                for end in tuple(self.ends):
                    self.tell(end, bytes(letter[:n]))

    def tell(self, end: int, letter: bytes) -> None:
        """Pass a letter to a child, after those that wait for it already."""
        if end in self.waiting:
            self.waiting[end].append(letter)
            if len(self.waiting[end]) > LETTERS:  # it is told no more, and so hangs up
                live.shutdown(end, socket.SHUT_WR)
            return
        try:
            live.write(end, letter)
        except BlockingIOError:
            self.waiting[end] = [letter]
            self.epoll.modify(end, EPOLLIN | EPOLLOUT)
        except OSError:
            pass  # it was told no more, or is about to end

    def pass_on(self, end: int) -> None:
        """There is room again: tell a child what waits for it, as far as the room goes."""
        letters = self.waiting[end]
        try:
            while letters:
                live.write(end, letters[0])
                del letters[0]
        except BlockingIOError:
            return
        except OSError:
            pass
        del self.waiting[end]
        self.epoll.modify(end, EPOLLIN)

    def drop(self, end: int) -> None:
        """Forget a child. Take its end off the list first: a fork may hold a copy of it open."""
        if end in self.ends:
            self.ends.discard(end)
            self.waiting.pop(end, None)
            self.epoll.unregister(end)
            live.close(end)

    def close(self) -> None:
        """End the thread, and close everything."""
        live.close(self.rope)
        self.thread.join()
        for end in tuple(self.ends):
            self.drop(end)
        live.close(self.bell)
        self.epoll.close()


def hear(end: int, app: Publisher, mailbox: Mailbox) -> None:
    """In a child: take letters from its end of a pair to the mailbox, until the parent is gone."""
    letter = bytearray(LETTER)
    while True:
        try:
            n = live.readv(end, [letter])
        except OSError:
            n = 0
        if n == 0:
            return mailbox.hang_up()
        with mailbox.changed:
            if app.subscribed(mailbox.fd):
                mailbox.put(bytes(letter[:n]))
