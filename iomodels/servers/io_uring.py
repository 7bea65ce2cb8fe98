"""io_uring: order the work, and hear when it is done.

All other models here ask, in one way or another, who is *ready*; the work itself, the read and the
write, is a system call of ours for each connection. Here we order the work: "receive from this
one", "send that to the other", and the kernel does it when it can be done. What comes back is not
"you may read now" but "5 bytes are in this buffer". That is completion: asynchronous I/O in the
sense of POSIX, the fifth of Stevens' models.

One round: the orders of the last round are handed over, all of them in one system call, and
whatever has been done meanwhile is taken out of a queue in shared memory. With a hundred busy
clients, a round holds a hundred reads or a hundred writes, where epoll needs one system call for
each of them. Count them: that is the figure that this model changes. The time it takes hardly
changes in Python, for every order and every completion is an object to make and to take apart.

Accepting shows the model at its best: one order, given once, and a completion for each client that
comes ("multishot"), until there is no room (EMFILE), or the listener is shut down (EINVAL).

Where it hurts:
- Memory is the kernel's between the order and the completion. Who touches it sends or receives
  rubbish, now and then. See completions.py for who holds which buffer when.
- What waits in the kernel costs kernel memory. An idle connection holds no buffer, but a recv that
  waits: 256 bytes for the request and some 600 for what belongs to it, where epoll has an entry of
  128 on its list (/proc/slabinfo: io_kiocb, kmalloc-512, kmalloc-96; eventpoll_epi).
- A buffer of the pool is much smaller than the window of the other servers, for there are many of
  them. Large messages come in more pieces.
- An fd with a request under way is not closed by close(2): cancel first. And an order names a
  number: if another thread closes the fd before the kernel has taken the order, and the number
  comes back, the order is carried out on the newcomer. (In this thread it cannot come back before:
  the ring accepts only after it has taken all orders, see kernel/uring.py.)
- It is large and young, and has had holes; Docker's default profile and some distributions switch
  it off (EPERM, ENOSYS). A program needs another model to fall back on.
"""

from __future__ import annotations

from iomodels.apps import App
from iomodels.kernel import Kernel
from iomodels.kernel.uring import BUFFER, MORE, SHIFT, Ring
from iomodels.servers.accepting import NO_ROOM, PAUSE, SHUT_DOWN
from iomodels.servers.completions import (
    ACCEPT,
    BITS,
    KIND,
    NUMBER,
    PROVIDE,
    RECV,
    SEND,
    Completions,
)

ENTRIES = 1024  # orders that one system call hands over; more take another one


def serve(listener: int, app: App, kernel: Kernel) -> None:
    """Serve `app` on `listener` until it is shut down.

    Raises ImportError or OSError where there is no io_uring; the text says what to do.
    """
    ring = kernel.io_uring(ENTRIES)
    kernel.set_blocking(listener, True)  # an order may wait; with O_NONBLOCK it would not
    connections = Completions(app, kernel, ring)
    try:
        loop(listener, ring, connections)
    finally:
        connections.abandon()


def loop(listener: int, ring: Ring, connections: Completions) -> None:
    """Hand over the orders, take what is done, and order what follows from it."""
    again = listener << BITS | ACCEPT
    ring.accept(listener, again)
    while not connections.over:
        for user_data, result, flags in ring.enter(connections.patience()):
            fd, kind = user_data >> BITS & NUMBER, user_data & KIND
            if kind in (RECV, SEND) and user_data != connections.named(fd, kind):
                if flags & BUFFER:  # of one who had this number before
                    connections.give_back(flags >> SHIFT)
            elif kind == RECV:
                connections.received(fd, result, flags)
            elif kind == SEND:
                connections.sent(fd, result)
            elif kind == PROVIDE:  # it failed, and there the fd is the number of a buffer
                connections.give_back(fd)
            elif kind == ACCEPT:
                if result >= 0:
                    connections.opened(result)
                full = -result in NO_ROOM
                if -result in SHUT_DOWN or (full and not connections.kernel.listens(listener)):
                    connections.stop()
                elif full:
                    connections.pause(listener, PAUSE)
                elif not flags & MORE:
                    ring.accept(listener, again)
        if listener in connections.overdue() and not connections.stopping:
            ring.accept(listener, again)
        connections.end_round()
