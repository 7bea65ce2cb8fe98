"""asyncio: the same epoll, under async and await.

asyncio's loop is the loop of epoll.py: wait, then do something for each fd that is ready. Only that
what it does is not written there; it is called. For each fd the loop keeps a callback for reading
and one for writing. A *transport* is what stands behind them for a connection: it reads, writes,
and keeps what the kernel would not take. A *protocol*, here `Connection`, is ours; the transport
tells it what happens.

The rules are those of connections.py, and asyncio has a method for nearly each:

    one read at a step             the transport reads once for each event
    who does not read is not       pause_writing says that something could not be sent, and
    read from                      resume_writing that it is out; with a limit of 0 there is nothing
                                   between the two
    goodbye, then the client's     write_eof shuts our end down once all is sent; the transport
                                   closes when the end of the stream comes
    off the list before close      abort and close do that

Callbacks for what happens a million times, coroutines for what happens once, one thing after the
other: to accept, to make a connection, to stop. A coroutine for each connection, with `await
reader.read()`, reads better than this file, and costs twice the memory.

**asyncio owns the buffer.** Reading into our window is possible (BufferedProtocol). But `write` may
keep what it is given until there is room, since Python 3.12 the very object, and there is no way to
be told before the next read. An answer that lies in the window would be overwritten. So each answer
is copied out of it, in `send`, all of it, though nearly always the kernel would have taken it from
where it lay. (`writelines` looks like writev(2), but up to 3.11 it copies too, and after that it
forgot to pause_writing: CVE-2024-12254.)

Its calls go through the kernel object: asyncio is given a socket and a selector that see to it
(kernel/objects.py).

Deadlines do not go to `call_later`: each would be an object and an entry in a heap, and stay there
after it was cancelled. They are a byte each (deadlines.py), and one timer for all of them.

What it buys: a coroutine waits in the middle of a function, and its state is its local variables;
thousands of libraries wait on the same loop. An app that raises over what it has received loses
that connection and gets its traceback into the log; the others are served on.

Where it hurts:
- A connection is a socket object, a transport, a protocol, and what they hold: 2 kB on Python 3.11
  and nearly 3 kB on 3.13, instead of a byte.
- Each event is an object in a queue and a call; to pause and to resume reading and writing is up to
  four epoll_ctl.
- Nothing interrupts a callback. Whoever computes for a second on the loop, in whatever library,
  stops everybody for a second. That is so in every file here, but here one does not see it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from typing import Any, cast

from iomodels.apps import BACKLOG, CLOSE, Answer, App, is_timed, publishes
from iomodels.kernel import Kernel
from iomodels.kernel.objects import KernelSelector, KernelSocket
from iomodels.servers.accepting import FULL, PAUSE, STOPPED, accept_all
from iomodels.servers.connections import (
    BLOCKED,
    FREE,
    LAST,
    LAST_READS,
    LEAVING,
    LINGER,
    OPEN,
    WINDOW,
    reset_on_close,
)
from iomodels.servers.deadlines import Deadlines

log = logging.getLogger(__name__)


def serve(listener: int, app: App, kernel: Kernel) -> None:
    """Serve `app` on `listener` until it is shut down."""
    kernel.set_blocking(listener, False)
    with (
        contextlib.closing(KernelSelector(kernel)) as selector,
        asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner,
    ):
        runner.run(run(listener, Server(app, kernel, runner.get_loop(), selector)))


async def run(listener: int, server: Server) -> None:
    """Take clients in until the listener is shut down, then see them off."""
    try:
        await server.take_in(listener)
        await server.see_off()
    finally:  # or interrupted
        await server.hang_up_all()


class Connection(asyncio.BufferedProtocol):
    """One connection, and what its transport tells it.

    A transport that has been closed or aborted tells of it a round later (connection_lost); until
    then it ignores what it is asked to do.
    """

    __slots__ = ("fd", "server", "sock", "state", "transport")
    transport: asyncio.Transport

    def __init__(self, server: Server, fd: int, sock: KernelSocket) -> None:
        self.server, self.fd, self.sock = server, fd, sock
        self.state = FREE  # else as in connections.py

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(0)  # pause_writing as soon as anything must wait
        self.state = OPEN
        self.server.enter(self)
        self.send(self.server.app.opened(self.fd))

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.server.window

    def buffer_updated(self, nbytes: int) -> None:
        if self.state == OPEN:  # else we have said goodbye, and throw it away
            self.send(self.server.received(self.fd, self.server.window[:nbytes]))

    def pause_writing(self) -> None:
        """Read no more from a client that does not take its answer; it has so long to take it."""
        self.state = BLOCKED
        self.transport.pause_reading()
        if self.server.write_timeout:
            self.server.set_deadline(2 * self.fd + 1, self.server.write_timeout)

    def resume_writing(self) -> None:
        """Go on as before, for all is sent; or leave, if that was the last of it."""
        self.state = LEAVING if self.state == LAST else OPEN
        self.server.set_deadline(2 * self.fd + 1, LINGER if self.state == LEAVING else 0)
        self.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        """Forget it. The transport closes the fd after this, and then the number is free."""
        self.state = FREE
        self.server.leave(self.fd)

    def send(self, answer: Answer) -> None:
        """Send an answer: one write, of one copy, for the transport may keep what it is given."""
        if not answer:
            return
        self.transport.write(b"".join(answer))
        if answer[-1] is CLOSE:
            self.say_goodbye()

    def push(self, data: bytes) -> None:
        """Send something to one who has not asked; whoever does not read is cut off in the end."""
        waiting = self.transport.get_write_buffer_size()
        if waiting and waiting + len(data) > BACKLOG:
            self.hang_up()
        else:
            self.transport.write(data)

    def expired(self, *, ours: bool) -> None:
        """Hang up, if the deadline was ours; otherwise ask the app. Nobody waits for the late."""
        app = self.server.app
        if self.state != OPEN and not ours:
            # The app waits for a client from whom we do not read: that is not its fault.
            self.server.set_deadline(2 * self.fd, 1.0)
            return
        if self.state == OPEN and is_timed(app) and not self.server.stopping:
            self.send(app.expired(self.fd))
            if self.state != LEAVING:
                return
        self.hang_up()

    def hang_up(self) -> None:
        """Close at once. Who has not taken what was for it is told so: see connections.py."""
        if self.transport.get_write_buffer_size():
            reset_on_close(self.server.kernel, self.fd)
        self.transport.abort()

    def say_goodbye(self) -> None:
        """Shut down our end once all is sent, then wait for the client to close its own.

        Not `close`, which would close the fd at once: see connections.py.
        """
        self.state = LAST if self.state == BLOCKED else LEAVING
        if self.state == LEAVING:
            self.server.set_deadline(2 * self.fd + 1, LINGER)
        try:
            self.transport.write_eof()
        except OSError:  # ENOTCONN: it has been reset
            self.transport.abort()

    def last_words(self) -> None:
        """Say that the server leaves: by the app's words, or without a word."""
        app = self.server.app
        if self.state not in (OPEN, BLOCKED):
            return
        answer = app.goodbye(self.fd) if is_timed(app) else ()
        if answer:
            self.send(answer)
        elif self.state == BLOCKED:
            self.say_goodbye()
        else:
            self.hang_up()


class Server:
    """All connections of one server, and what they share: the app, the window, the deadlines."""

    def __init__(
        self, app: App, kernel: Kernel, loop: asyncio.AbstractEventLoop, selector: KernelSelector
    ) -> None:
        self.app, self.kernel, self.loop, self.selector = app, kernel, loop, selector
        self.received = app.received
        self.window = memoryview(bytearray(WINDOW))
        self.connections: dict[int, Connection] = {}  # by fd
        self.arriving: set[asyncio.Task[None]] = set()
        self.nobody = asyncio.Event()  # set when there is no connection
        self.nobody.set()
        self.stopping = False
        self.letters: list[bytes] = []  # published in this round
        self.deadlines = Deadlines(kernel.monotonic)  # of fd: the app's at 2 * fd, then ours
        self.late: set[int] = set()  # keys whose deadline has come, and who must be told
        self.alarm: asyncio.TimerHandle | None = None
        self.rings_at = math.inf  # when the alarm goes off
        self.write_timeout = 0.0
        loop.set_exception_handler(report)
        if publishes(app):
            app.publish = self.publish
            self.subscribed, self.subscribers = app.subscribed, app.subscribers
        if is_timed(app):
            self.write_timeout = app.write_timeout
            app.deadline = lambda fd, seconds: self.set_deadline(2 * fd, seconds)

    # --- those who come, and those who go ---

    async def take_in(self, listener: int) -> None:
        """Accept until the listener is shut down."""
        while (verdict := accept_all(self.kernel, listener, self.newcomer)) != STOPPED:
            try:
                await (asyncio.sleep(PAUSE) if verdict == FULL else self.readable(listener))
            except OSError:  # epoll's list is full, as below; then nobody can be taken in for long
                await asyncio.sleep(PAUSE)

    async def readable(self, fd: int) -> None:
        """Sleep until there is something to read. This is all there is behind an `await`."""
        future = self.loop.create_future()
        self.loop.add_reader(fd, future.set_result, None)
        try:
            await future
        finally:
            self.loop.remove_reader(fd)

    def newcomer(self, fd: int) -> None:
        if before := self.connections.get(fd):
            before.sock.detach()  # somebody else has closed it, and the number has come back:
            before.transport.abort()  # let go of it, and close nothing
        task = self.loop.create_task(self.arrive(fd))
        self.arriving.add(task)  # the loop's own reference is a weak one
        task.add_done_callback(self.arriving.discard)

    async def arrive(self, fd: int) -> None:
        """Have a transport made for a connection; when this returns, it is read from."""
        sock = KernelSocket(self.kernel, fd)
        transport, _ = await self.loop.connect_accepted_socket(
            lambda: Connection(self, fd, sock), sock
        )
        if fd not in self.selector.get_map() and not transport.is_closing():
            # ENOSPC (fs.epoll.max_user_watches) or ENOMEM, which came up in a callback
            log.warning("epoll cannot watch fd %d; closed the connection", fd)
            transport.abort()

    def enter(self, connection: Connection) -> None:
        self.connections[connection.fd] = connection
        self.nobody.clear()

    def leave(self, fd: int) -> None:
        """Let go of everything that goes by this number."""
        del self.connections[fd]
        if not self.connections:
            self.nobody.set()
        for key in (2 * fd, 2 * fd + 1):
            self.deadlines.cancel(key)
            self.late.discard(key)
        self.app.closed(fd)

    async def see_off(self) -> None:
        """Answer what has arrived, say goodbye, and give the clients LINGER seconds to take it.

        A transport cannot be told to read now. But the loop reads once, at each round, from
        everybody who has sent something, and those who have just been accepted arrive meanwhile.
        """
        for _ in range(LAST_READS):
            await asyncio.sleep(0)
        self.stopping = True
        for connection in list(self.connections.values()):
            connection.last_words()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                await self.nobody.wait()

    async def hang_up_all(self) -> None:
        """Close every connection that is open, and return when the loop has done so."""
        self.stopping = True
        if self.arriving:
            await asyncio.wait(self.arriving)
        for connection in list(self.connections.values()):
            connection.hang_up()
        await self.nobody.wait()

    # --- letters ---

    def publish(self, data: bytes) -> None:
        """Keep something until the end of this round, when all answers are sent."""
        if not self.letters:
            self.loop.call_soon(self.deliver)
        self.letters.append(data)

    def deliver(self) -> None:
        """Send what was published in a round to all who have subscribed."""
        data = b"".join(self.letters)
        self.letters.clear()
        for fd in self.subscribers():
            connection = self.connections.get(fd)
            if connection and connection.state in (OPEN, BLOCKED) and self.subscribed(fd):
                connection.push(data)

    # --- deadlines ---

    def set_deadline(self, key: int, seconds: float) -> None:
        """Have `key` be late in so many seconds; 0: never.

        `Deadlines` counts from the time of its last look, so it has to look first. Whom it finds
        late is told by the alarm: not from here, for the app may be in the middle of something.
        """
        self.late.update(self.deadlines.due())
        self.late.discard(key)
        self.deadlines.set(key, seconds)
        self.wind()

    def wind(self) -> None:
        """Have `ring` be called when somebody may be late: one timer, whoever it is for."""
        rings_at = -math.inf if self.late else self.deadlines.next
        if rings_at < self.rings_at:
            if self.alarm:
                self.alarm.cancel()
            wait = max(0.0, rings_at - self.deadlines.now)
            self.alarm = self.loop.call_later(wait, self.ring)
            self.rings_at = rings_at

    def ring(self) -> None:
        """Wind the alarm again, and tell those who are late."""
        self.rings_at = math.inf
        late, self.late = self.late.union(self.deadlines.due()), set()
        self.wind()
        for key in late:
            if connection := self.connections.get(key // 2):
                connection.expired(ours=key % 2 == 1)


def report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what went wrong in a callback, but not that a client is gone: nobody has to be told."""
    if not isinstance(context.get("exception"), OSError):
        loop.default_exception_handler(context)
