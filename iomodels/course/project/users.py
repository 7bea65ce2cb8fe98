"""A user of the chat, as the tests play one: a blocking WebSocket client that knows what is due.

What it does not get, it says in words for the one who wrote the server.
"""

from __future__ import annotations

import contextlib
import random
import re
import select
import socket
import struct
from collections.abc import Iterator

from iomodels.course.project.host import PATIENCE, Hosted
from iomodels.course.trial import Wrong
from iomodels.kernel import RESET_ON_CLOSE
from iomodels.measure.dialogues import UPGRADE
from iomodels.websocket.frames import CLOSE, PONG, TEXT, encode
from iomodels.websocket.handshake import accept_key

(KEY,) = re.findall(rb"Sec-WebSocket-Key: (.*)\r\n", UPGRADE)
NAMES = {TEXT: "a text", CLOSE: "a Close frame", PONG: "a pong"}


class User:
    """A connection to the server. `who` is what the words call it, before it has a name too."""

    def __init__(self, server: Hosted, who: str, *, receive_buffer: int = 0) -> None:
        """Connect, and no more. A `receive_buffer` is small, of so many bytes, and stays so."""
        self.server, self.who = server, who
        self.sock = socket.socket()
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(server.address)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.heard = bytearray()

    # --- what it does ---

    def send(self, data: bytes) -> None:
        """Send these bytes. Raises Wrong when the server does not take them."""
        try:
            self.sock.sendall(data)
        except TimeoutError:
            raise Wrong(
                f"{self.who} sends, and your server reads nothing from it; {self.server.fate()}"
            ) from None
        except OSError as error:
            self.lost("was sending", error)

    def say(self, text: str) -> None:
        """Send a text message."""
        self.send(frame(text))

    def upgrade(self) -> None:
        """Ask for the upgrade, and hear the answer."""
        self.send(UPGRADE)
        self.hear_the_answer("the request was sent")

    def close(self) -> None:
        """Close the connection: a FIN, if all was read."""
        self.sock.close()

    def reset(self) -> None:
        """Throw the connection away: a RST."""
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.sock.close()

    # --- what it hears ---

    def hear_the_answer(self, after: str) -> None:
        """Hear the answer to the upgrade, to its last byte. Raises Wrong."""
        while b"\r\n\r\n" not in self.heard:
            self.more("the answer to it", after)
        head, _, rest = bytes(self.heard).partition(b"\r\n\r\n")
        self.heard[:] = rest
        status, *lines = head.split(b"\r\n")
        if status.split(b" ")[1:2] != [b"101"]:
            raise Wrong(f"{self.who} asked for the upgrade, and was answered with {status!r}")
        if f"Sec-WebSocket-Accept: {accept_key(KEY)}".encode() not in lines:
            raise Wrong("the answer to the upgrade has not the Sec-WebSocket-Accept of its key")

    def expect(self, text: str, after: str) -> None:
        """Hear this text next. Raises Wrong: something else came, or nothing."""
        opcode, payload = self.frame(f"`{short(text)}`", after)
        if (opcode, payload) != (TEXT, text.encode()):
            raise Wrong(
                f"{after}, and {self.who} heard {told(opcode, payload)}, not `{short(text)}`"
            )

    def expect_until(self, text: str, after: str) -> list[str]:
        """Hear texts until this one comes; return all of them. Raises Wrong."""
        heard: list[str] = []
        while not heard or heard[-1] != text:
            opcode, payload = self.frame(f"`{short(text)}`", after)
            if opcode != TEXT:
                what = told(opcode, payload)
                raise Wrong(f"{after}, and {self.who} heard {what}, not `{short(text)}`")
            heard.append(payload.decode(errors="replace"))
        return heard

    def expect_silence(self, after: str) -> None:
        """Raise Wrong when something has come."""
        if self.heard or self.something_came():
            opcode, payload = self.frame("silence", after)
            raise Wrong(f"{after}, and {self.who} heard {told(opcode, payload)}: it is not for it")

    def expect_the_end(self, after: str, *, shaken: bool = True) -> None:
        """See the connection end. Raises Wrong.

        It must be a FIN. A Close frame that comes first is answered, as a client should; when the
        server has not waited for that, its kernel answers with a RST. Before the handshake (not
        `shaken`) a RST will do too, and what comes first is HTTP.
        """
        may_be_reset = not shaken
        while True:
            if not self.server.wait(self.something_came):
                raise Wrong(f"{self.who}'s connection is still open {after}; {self.server.fate()}")
            try:
                data = self.sock.recv(65536)
            except ConnectionResetError:
                if may_be_reset:
                    return
                raise Wrong(
                    f"{self.who} was reset {after}, where the end of the stream should come"
                ) from None
            if not data:
                return
            self.heard += data
            while shaken and (whole := self.whole_frame()) is not None:
                if whole[0] == CLOSE:
                    may_be_reset = True
                    with contextlib.suppress(OSError):
                        self.sock.sendall(encode(CLOSE, whole[1][:2], b"mask"))

    def frame(self, due: str, after: str) -> tuple[int, bytes]:
        """Hear a whole frame: its opcode and payload. Raises Wrong."""
        while (whole := self.whole_frame()) is None:
            self.more(due, after)
        return whole

    def whole_frame(self) -> tuple[int, bytes] | None:
        """The first frame of what was heard; None when it is not whole."""
        data = self.heard
        if len(data) < 2:
            return None
        if data[0] & 0x70 or data[1] & 0x80 or not data[0] & 0x80:
            raise Wrong(
                f"{self.who} was sent {bytes(data[:8])!r}, and that does not begin a server's frame"
            )
        start, size = 2, data[1]
        if size >= 126:
            kind, start = ("!H", 4) if size == 126 else ("!Q", 10)
            if len(data) < start:
                return None
            (size,) = struct.unpack_from(kind, data, 2)
        if len(data) < start + size:
            return None
        payload = bytes(data[start : start + size])
        opcode = data[0] & 0x0F
        del data[: start + size]
        return opcode, payload

    def more(self, due: str, after: str) -> None:
        """Read what comes next. Raises Wrong: nothing comes, or the end."""
        if not self.server.wait(self.something_came):
            half = f", of which {bytes(self.heard[:8])!r} has come" if self.heard else ""
            raise Wrong(
                f"{after}, and {self.who} still waits for {due}{half}; {self.server.fate()}"
            )
        try:
            data = self.sock.recv(1 << 18)
        except OSError as error:
            return self.lost(f"waited for {due}", error)
        if not data:
            self.lost(f"waited for {due}", None)
        self.heard += data

    def lost(self, doing: str, error: OSError | None) -> None:
        """Say that the connection has ended. Raises Wrong."""
        ended = "was reset" if isinstance(error, ConnectionError) else "has ended"
        self.server.wait(self.server.has_ended, 0.5)  # it may be on its way
        why = f"; {self.server.fate()}" if self.server.has_ended() else ""
        raise Wrong(f"{self.who}'s connection {ended} while it {doing}{why}")

    def something_came(self) -> bool:
        """Whether a read would return at once; waits for 10 ms at most."""
        poller = select.poll()  # a crowd's descriptors are too high for select
        poller.register(self.sock, select.POLLIN)
        return bool(poller.poll(10))


def frame(text: str, opcode: int = TEXT) -> bytes:
    """A client's frame."""
    return encode(opcode, text.encode(), random.randbytes(4))


def told(opcode: int, payload: bytes) -> str:
    """What came, in words."""
    text = short(payload.decode(errors="replace"))
    if opcode == TEXT:
        return f"`{text}`"
    what = NAMES.get(opcode, f"a frame with opcode {opcode:#x}")
    if opcode == CLOSE and len(payload) >= 2:
        reason = payload[2:].decode(errors="replace")
        return f"{what}, {int.from_bytes(payload[:2], 'big')} {reason}".strip()
    return f"{what} with {payload!r}"


def short(text: str) -> str:
    """A text for a sentence."""
    return text if len(text) <= 40 else f"{text[:24]} … ({len(text):,} characters)"


@contextlib.contextmanager
def room(server: Hosted, *names: str) -> Iterator[list[User]]:
    """Users who are in the room, and have heard of all who came after them."""
    users: list[User] = []
    with contextlib.ExitStack() as stack:
        for name in names:
            user = User(server, name)
            stack.callback(user.close)
            user.upgrade()
            user.say(name)
            users.append(user)
            for other in users:
                other.expect(f"* {name} has come", f"{name} had come in")
        yield users
