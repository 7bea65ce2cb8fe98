"""The clients of a scenario, on real sockets, and how far what they did has come.

They live in the recorder's process, so that the server's descriptor table holds nothing but the
server's. After each act the recorder waits until the server's kernel shows it. On loopback that is
nearly always at once; where it is not, a step must not be taken too early.

Some things go by a clock that nobody can hold: an acknowledgement may be put off for 40 ms, so it
is asked for (TCP_QUICKACK, man 7 tcp); a SYN that was dropped is repeated after a second.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import struct
import termios
import time

from iomodels.kernel import RESET_ON_CLOSE
from iomodels.kernel.recording import count
from iomodels.trace.looking import HOST, SHOWN, STATES
from iomodels.trace.scenario import Act

TOTAL_RETRANS = 100  # offset of tcpi_total_retrans in struct tcp_info
PATIENCE = 10.0  # seconds for the kernel to repeat a SYN; it does after 1, 3 and 7
ACKNOWLEDGED = 0.5  # seconds for the server's kernel to say that a FIN has come
MANY = 1 << 20  # bytes, more than any script sends


class Client:
    """One client: its socket, and what it has done."""

    def __init__(self, name: str, port: int, room: int, source: int) -> None:
        """Begin to connect to a port; `room`: its SO_RCVBUF, `source`: its own port, or 0."""
        self.name = name
        self.sock = socket.socket()
        if room:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.sock.bind((HOST, source))
        self.sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            self.sock.connect((HOST, port))
        self.port: int = self.sock.getsockname()[1]
        self.sent = b""  # all that its kernel has taken
        self.shut = False  # it has sent its FIN
        self.reset = False  # or a RST
        self.here = True  # its socket is open
        self.end = False  # it has read the end of the stream, or an error

    @property
    def state(self) -> str:
        """The state of its end, as the kernel has it."""
        info = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
        return STATES[info[0]]

    @property
    def connected(self) -> bool:
        """Whether its kernel has shaken hands."""
        return not self.here or self.state != "SYN_SENT"

    @property
    def asked_again(self) -> bool:
        """Whether its SYN has been repeated."""
        info = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TOTAL_RETRANS + 4)
        return bool(struct.unpack_from("I", info, TOTAL_RETRANS)[0])

    def unread(self) -> tuple[int, str]:
        """Bytes in its receive buffer, and the first of them."""
        if not self.here or not self.connected:
            return 0, ""
        size = count(self.sock.fileno(), termios.FIONREAD)
        if not size:
            return 0, ""
        return size, self.sock.recv(SHOWN + 1, socket.MSG_PEEK).decode("latin-1")

    def acknowledge(self) -> None:
        """Have its kernel send an acknowledgement that it has put off."""
        if self.here:
            with contextlib.suppress(OSError):
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    # --- the acts ---

    def do(self, act: Act) -> str:
        """Do what the script says; return what came of it, in a word or two."""
        match act.verb:
            case "connects":
                return ""
            case "sends":
                return self.send(act.data)
            case "reads":
                return self.read(int(act.number))
            case "shuts down":
                self.send_fin()
                self.shut = True
            case "closes":
                self.close()
            case "resets":
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                self.reset = True
                self.leave()
            case "asks again":
                poll = select.poll()
                poll.register(self.sock, select.POLLOUT)
                poll.poll(PATIENCE * 1000)
        return ""

    def send(self, data: bytes) -> str:
        try:
            taken = self.sock.send(data)
        except BlockingIOError:
            return "0"
        except OSError as error:
            return errno.errorcode.get(error.errno or 0, "error")
        self.sent += data[:taken]
        return str(taken)

    def read(self, size: int) -> str:
        """Take what has come: its length and its text, "end", "nothing", or an error's name."""
        try:
            data = self.sock.recv(size or MANY)
        except BlockingIOError:
            return "nothing"
        except OSError as error:
            self.end = True
            return errno.errorcode.get(error.errno or 0, "error")
        if not data:
            self.end = True
            return "end"
        return data.decode("latin-1")

    def close(self) -> None:
        """close(2): a FIN, or a RST if there is something that it has not read."""
        self.reset = bool(self.unread()[0])  # RFC 1122, 4.2.2.13
        if not self.reset:
            self.send_fin()
        self.shut = True
        self.leave()

    def send_fin(self) -> None:
        """Send the FIN before the close, for after it nobody could tell whether it has come."""
        with contextlib.suppress(OSError):  # ENOTCONN: the server has reset the connection
            self.sock.shutdown(socket.SHUT_WR)
            deadline = time.monotonic() + ACKNOWLEDGED
            while self.state in ("FIN_WAIT1", "LAST_ACK") and time.monotonic() < deadline:
                time.sleep(0.0005)

    def unacknowledged(self) -> int:
        """Bytes that it has sent, and that the server's kernel has not acknowledged."""
        return count(self.sock.fileno(), termios.TIOCOUTQ) if self.here and not self.shut else 0

    def leave(self) -> None:
        self.here = False
        self.sock.close()
