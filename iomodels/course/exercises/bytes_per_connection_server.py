"""The server that is measured in the exercise bytes_per_connection. The standard library only.

    python -I -S bytes_per_connection_server.py JSON

It echoes, and holds memory for a connection from its first byte on until it is closed. How much is
told to the page: a mapping of its own (mmap(2)) for each, of which some pages are touched and the
others are addresses. How many it holds is written, as 4 bytes, where the case can read it.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import select
import socket
import sys
import time


def hold(touched: int, reserved: int = 0) -> mmap.mmap:
    """Addresses, with memory behind the first `touched` of them."""
    held = mmap.mmap(-1, max(touched, reserved), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):  # a kernel without huge pages: then there are none to avoid
        held.madvise(mmap.MADV_NOHUGEPAGE)
    for page in range(0, touched, mmap.PAGESIZE):
        held[page] = 1
    return held


def serve(
    listener: socket.socket, counter: int, each: int, reserved: int, once: int, pause: float,
    last: int,
) -> None:  # fmt: skip
    """Serve until killed. After `last` clients, if that is not 0, hang up on everybody new."""
    made_once: list[mmap.mmap] = []
    clients: dict[int, tuple[socket.socket, list[mmap.mmap]]] = {}
    poller = select.epoll()
    poller.register(listener, select.EPOLLIN)
    while True:
        for fd, _ in poller.poll():
            if fd == listener.fileno():
                sock, _ = listener.accept()
                clients[sock.fileno()] = sock, []
                poller.register(sock, select.EPOLLIN)
                continue
            sock, held = clients[fd]
            try:
                data = sock.recv(4096)
            except ConnectionError:
                data = b""
            full = last and not held and sum(bool(other) for _, other in clients.values()) >= last
            if data and not full:
                if not held:
                    time.sleep(pause)
                    if once and not made_once:
                        made_once.append(hold(once))
                    held.append(hold(each, reserved))
            else:
                del clients[fd]
                sock.close()
            holding = sum(bool(other) for _, other in clients.values())
            os.pwrite(counter, holding.to_bytes(4, "little"), 0)
            if fd in clients:
                with contextlib.suppress(ConnectionError):
                    sock.sendall(data)


def main(text: str) -> None:
    """Take what it takes without a connection, say on stdout at which port, and serve."""
    order = json.loads(text)
    always = hold(order.pop("fixed"))
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener, always:
        print(listener.getsockname()[1], flush=True)
        serve(listener, **order)


if __name__ == "__main__":
    main(sys.argv[1])
