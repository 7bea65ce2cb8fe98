"""A network of one's own, where that is allowed: unshare(2) with CLONE_NEWNET.

A new network namespace has a loopback interface, which is down, and nothing else: no other
program's sockets and ports, and settings and counters of its own. What happens in it, nobody else
feels. When its last process ends, the kernel takes it down with all that is left in it.

It takes CAP_SYS_ADMIN, which root has. Anybody else may have it inside a new user namespace, where
the system allows those; containers mostly do not. There is no way back, so a child tries first.

Two settings are made, and in namespaces of our own only.

The kernel finds the socket of each packet in a hash table, whose size was chosen when the machine
started: with two million sockets in a quarter of a million buckets it looks at eight for each
packet. A namespace may have a table of its own; how large, is for the namespace to say in which it
is made (tcp_child_ehash_entries, since Linux 6.1). So there is one namespace in which that is said,
and in it the one that we stay in.

Congestion control is Reno's, the plainest, which every kernel has. Nothing is lost on a loopback;
a machine that is set to BBR would start a timer for each packet there all the same, to pace it.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
from pathlib import Path

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000  # include/uapi/linux/sched.h
SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914  # man 7 netdevice
IFF_UP = 1
BUCKETS = Path("/proc/sys/net/ipv4/tcp_child_ehash_entries")
MOST_BUCKETS = 1 << 24
CONGESTION_CONTROL = Path("/proc/sys/net/ipv4/tcp_congestion_control")
IFREQ = struct.Struct("16sh14x")  # name, flags


def private_network(sockets: int) -> str:
    """Move this process into a network namespace of its own; return "", or why it stays.

    `sockets`: how many there will be in it. The process must have no other threads (man 2 unshare,
    EINVAL).
    """
    pid = os.fork()
    if pid == 0:
        try:
            enter(sockets)
            os._exit(0)
        except OSError as error:
            os._exit(error.errno or 255)
        finally:
            os._exit(255)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status:
        return os.strerror(status) if 0 < status < 255 else "it ended without a word"
    enter(sockets)
    return ""


def enter(sockets: int) -> None:
    """Enter a new network namespace and bring its loopback up. Raises OSError."""
    user, group = os.getuid(), os.getgid()
    try:
        unshare(CLONE_NEWNET)
    except PermissionError:
        unshare(CLONE_NEWUSER | CLONE_NEWNET)
        # Who we are in there: the same as outside (man 7 user_namespaces).
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    with contextlib.suppress(OSError):  # an older kernel: the machine's table will do
        BUCKETS.write_text(str(min(sockets, MOST_BUCKETS)))  # made a power of two
        unshare(CLONE_NEWNET)
    with contextlib.suppress(OSError):
        CONGESTION_CONTROL.write_text("reno")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        answer = fcntl.ioctl(sock, SIOCGIFFLAGS, IFREQ.pack(b"lo", 0))
        flags = IFREQ.unpack(answer)[1]
        fcntl.ioctl(sock, SIOCSIFFLAGS, IFREQ.pack(b"lo", flags | IFF_UP))


def unshare(flags: int) -> None:
    """unshare(2), which Python has from 3.12 on."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
