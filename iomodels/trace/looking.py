"""How the kernel stands, looked at from within a server's process, without a change to anything.

    fds          /proc/self/fd and fcntl(2)
    listeners    TCP_INFO: how many wait, and how many may
    sockets      TCP_INFO: the state; ioctl(2): bytes unread and not acknowledged (man 7 tcp)
    the bytes    recv(2) with MSG_PEEK, which leaves them where they are
    interest     /proc/self/fdinfo of an epoll

A peek at a socket with an error would take the error away from the server. So it is done only
where there are bytes, for these come first.
"""

from __future__ import annotations

import fcntl
import os
import resource
import select
import socket
import struct
import termios
import time
from typing import Any

from iomodels.kernel import TCP_INFO_QUEUE, borrowed, is_internet
from iomodels.kernel.recording import TCP_LISTEN, count

SHOWN = 40  # bytes of a buffer
LATE_ACK = 0.06  # seconds: an acknowledgement is put off by 40 ms (TCP_DELACK_MIN)
RECEIVED = 128  # offset of tcpi_bytes_received in struct tcp_info (include/uapi/linux/tcp.h)
HOST = "127.0.83.1"  # all of 127.0.0.0/8 is this machine, and here nobody else comes knocking
ROOM = 128  # descriptors above HIGH
FIRST = 3  # after stdin, stdout and stderr, which are not shown

# The recorder's own descriptors have these numbers, and are not shown.
HIGH = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1] % (1 << 63), 8192) - ROOM

STATES = {
    1: "ESTABLISHED", 2: "SYN_SENT", 3: "SYN_RECV", 4: "FIN_WAIT1", 5: "FIN_WAIT2", 6: "TIME_WAIT",
    7: "CLOSE", 8: "CLOSE_WAIT", 9: "LAST_ACK", 10: "LISTEN", 11: "CLOSING",
}  # fmt: skip  # include/net/tcp_states.h


def to_high(sock: socket.socket) -> socket.socket:
    """The same socket under a number that is not shown."""
    number = fcntl.fcntl(sock.fileno(), fcntl.F_DUPFD_CLOEXEC, HIGH)
    sock.close()
    return socket.socket(fileno=number)


def wait_for_acknowledgement(fd: int) -> None:
    """Wait until all that was sent on a connection has come to the client, or is stuck for good."""
    deadline = time.monotonic() + LATE_ACK
    while count(fd, termios.TIOCOUTQ) and time.monotonic() < deadline:
        time.sleep(0.0005)


class Looking:
    """What is known of this process's descriptors beside what the kernel says."""

    def __init__(self, hidden: range = range(0)) -> None:
        """`hidden`: more descriptors that are not shown."""
        self.hidden = hidden
        self.ports: dict[int, int] = {}  # by inode of a connection: the client's port

    def look(self) -> dict[str, Any]:
        """All that can be seen now; in what JSON can carry."""
        found: dict[str, Any] = {"fds": [], "listeners": {}, "sockets": {}, "interest": {}}
        for fd in sorted(map(int, os.listdir("/proc/self/fd"))):
            if not FIRST <= fd < HIGH or fd in self.hidden:
                continue
            try:
                target = os.readlink(f"/proc/self/fd/{fd}")
                flags = fcntl.fcntl(fd, fcntl.F_GETFL)
            except OSError:  # the directory itself
                continue
            kind, _, name = target.partition(":")
            what = {"socket": "socket", "anon_inode": name.strip("[]")}.get(kind, "file")
            if what == "socket":
                what = self.look_at_socket(fd, int(name.strip("[]")), found)
            elif what == "eventpoll":
                what = "epoll"
                found["interest"][fd] = interest(fd)
            found["fds"].append([fd, what, flags])
        return found

    def look_at_socket(self, fd: int, inode: int, found: dict[str, Any]) -> str:
        """Note what there is to know of a socket; return "listener", "connection" or "socket"."""
        sock = borrowed(fd)
        try:
            if not is_internet(sock):
                return "socket"
            info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, RECEIVED + 8)
            if info[0] == TCP_LISTEN:
                found["listeners"][fd] = struct.unpack_from("II", info, TCP_INFO_QUEUE)
                return "listener"
            unread = count(fd, termios.FIONREAD)
            peeked = b""
            if unread:
                peeked = sock.recv(SHOWN + 1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            found["sockets"][fd] = {
                "port": self.port(sock, inode),
                "state": STATES[info[0]],
                "in_bytes": unread,
                "in": peeked.decode("latin-1"),
                "out_bytes": count(fd, termios.TIOCOUTQ),
                "in_room": sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF),
                "out_room": sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF),
                "received": struct.unpack_from("Q", info, RECEIVED)[0],
            }
            return "connection"
        finally:
            sock.detach()

    def port(self, sock: socket.socket, inode: int) -> int:
        """The client's port; after a reset the kernel does not tell it any more."""
        try:
            self.ports[inode] = sock.getpeername()[1]
        except OSError:
            return self.ports.get(inode, 0)
        return self.ports[inode]


def interest(epoll: int) -> list[tuple[int, int, bool]]:
    """An epoll's interest list, sorted: (fd, events, whether this is a ghost).

    A ghost is watched under a number that has been closed since, and may be another's by now.
    """
    watched = []
    with open(f"/proc/self/fdinfo/{epoll}", encoding="ascii") as file:
        for line in file:
            words = line.split()
            if words[:1] == ["tfd:"] and int(words[1]) < HIGH:
                fd, inode = int(words[1]), int(words[7].removeprefix("ino:"), 16)
                watched.append((fd, int(words[3], 16), not leads_to(fd, inode)))
    return sorted(watched)


def leads_to(fd: int, inode: int) -> bool:
    """Whether a number is open, and for that inode."""
    try:
        return os.fstat(fd).st_ino == inode
    except OSError:
        return False


def ready(watched: list[tuple[int, int]]) -> list[int]:
    """Those that poll(2) reports now, for the events they are watched for."""
    poll = select.poll()
    for fd, events in watched:
        poll.register(fd, events & 0xFFFF)  # without EPOLLET, EPOLLEXCLUSIVE and the like
    return sorted(fd for fd, _ in poll.poll(0))


def is_ready(fd: int, events: int) -> bool:
    """Whether poll(2) reports one of these events, an error or the end."""
    return bool(ready([(fd, events)]))
