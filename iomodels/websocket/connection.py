"""The connection: from the bytes of one read to calls of an app, and to the buffers to send.

`WebSocket` holds all connections of a server. Of an idle one it knows one byte, in an array
indexed by fd. Only one that is in the middle of something has an object, in a dict, and that goes
as soon as the something is over (rules.py).

A read takes one of three ways:
1. One short frame that holds a whole message, as nearly every read of a chat: handled right in
   `received`, with no object made but the view.
2. Many frames, with the batch scanner on: one pass over the window; every message that is whole
   in its frame is handed out with the others like it.
3. The rest: cut frames, fragments, control frames, wrong ones, frame by frame. Without the
   scanner, all frames.
All three keep the same rules.

A deadline is the one thing that a connection waits for: the end of its request, of a message, a
sign of life, the answer to a Close frame (timeouts.py). Messages do not move it, for that would
cost something for each. Whoever was silent when it comes has become QUIET, and the next message
finds that; only who is still QUIET at the next one is asked for a sign of life.

No I/O happens here. The answers are buffers, many of them views into the window that was handed
in, and must be sent or copied before the window is used again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from iomodels.websocket.frames import (
    BINARY,
    CLOSE,
    FIN,
    HEADROOM,
    PING,
    PONG,
    TEXT,
    Close,
    CloseCode,
    ProtocolError,
    encode,
    encode_before,
    encode_close,
    encode_header,
    parse_close,
)
from iomodels.websocket.handshake import Handshake, Request, response
from iomodels.websocket.masking import Buffer, unmask
from iomodels.websocket.parser import Row, parse
from iomodels.websocket.reply import reply
from iomodels.websocket.rules import Unfinished, check_text, spare
from iomodels.websocket.short import one
from iomodels.websocket.timeouts import Timeouts

if TYPE_CHECKING:
    from iomodels.websocket.scan import Array

# What the one byte says. Only OPEN and, in most cases, CLOSING own nothing else.
FREE: Final = 0  # no connection has this fd
HANDSHAKE: Final = 1  # the upgrade request has not arrived whole
OPEN: Final = 2  # open, and between two messages
BUSY: Final = 3  # open, in the middle of a frame or message: see `unfinished`
CLOSING: Final = 4  # our Close frame is on its way; waits for the client's
ENDED: Final = 5  # over; nothing more is sent or read
QUIET: Final = 6  # as OPEN, and nothing has come since the deadline was last set
PINGED: Final = 7  # as QUIET, and we have asked for a sign of life

AT_WORK = (OPEN, BUSY, QUIET, PINGED)  # messages may go both ways

END: Final[Buffer] = memoryview(b"")  # the last buffer of an answer after which to hang up
MANY: Final = 64  # buffers above which an answer is joined: one copy costs less than so many

Reply = str | Buffer | Close | None


class App:
    """What an app may be told of a connection, whichever of the two kinds it is."""

    def opened(self, fd: int, request: Request) -> Reply:
        """Be told of a new connection. What is returned is sent: see `MessageApp.message`."""
        return None

    def closed(self, fd: int, code: int) -> None:
        """Be told that a connection has ended; `code` as in section 7.1.5 of RFC 6455."""


class MessageApp(App):
    """An app that is called once for each message."""

    def message(self, fd: int, opcode: int, payload: memoryview) -> Reply:
        """Answer a message: TEXT, which is UTF-8, or BINARY.

        `payload` is a view of it where it lies, good until this returns. Return the payload itself
        to send it back as it came, without a copy; a str or bytes to send as text or binary; a
        Close to end the connection; None to send nothing. Bytes that can change must not, until
        they are sent.
        """
        raise NotImplementedError


class BatchApp(App):
    """An app that is called once for all the messages of a read."""

    def batch(self, fd: int, window: memoryview, rows: Sequence[Row] | Array) -> Sequence[Buffer]:
        """Answer messages with frames, ready to send.

        Each row is (offset, length, opcode, 1), the offset of the payload in `window`; with the
        scanner they are an int64 array of four columns, otherwise a list. Both are good until
        this returns. `reply(window, rows)` sends all back.
        """
        raise NotImplementedError


class WebSocket:
    """The WebSockets of a server: call `opened`, `received`, `closed`, and send what they answer.

    app        a MessageApp or a BatchApp
    handshake  how to answer requests
    limit      bytes that a message, and so a frame, may have; above it: close code 1009
    scanner    use the batch scanner, if numba is there
    timeouts   how long a client may take
    end        the buffer that comes last in an answer after which to close the connection
    """

    def __init__(
        self,
        app: MessageApp | BatchApp,
        *,
        handshake: Handshake | None = None,
        limit: int = 1 << 20,
        scanner: bool = False,
        timeouts: Timeouts | None = None,
        end: Buffer = END,
    ) -> None:
        self.app, self.limit, self.end = app, limit, end
        self.handshake = handshake or Handshake()
        self.timeouts = timeouts or Timeouts()
        self.write_timeout = self.timeouts.write
        self.states = bytearray(64)  # by fd
        self.requests: dict[int, bytearray] = {}  # by fd: half a request
        self.unfinished: dict[int, Unfinished] = {}  # by fd: half a frame, half a message
        self._batch = app.batch if isinstance(app, BatchApp) else None
        if isinstance(app, MessageApp):
            self._message = app.message
        self._one = one
        self._unmask: Callable[[memoryview, Buffer, int], None] = unmask
        self._whole_frames = self._parse_frames
        if scanner:
            from iomodels.websocket import scan

            if scan.available():
                self._one, self._unmask = scan.one, scan.unmask_piece
                self._scan = scan.Scanner().scan
                self._whole_frames = self._scan_frames

    # --- what a server calls ---

    deadline: Callable[[int, float], None] = staticmethod(lambda fd, seconds: None)
    """Set by the server: have it call `expired(fd)` in so many seconds, or never if it is 0."""

    def opened(self, fd: int) -> Sequence[Buffer]:
        """Take note of a new connection. Nothing is sent: the client speaks first."""
        if fd >= len(self.states):
            self.states.extend(bytes(fd + 1))  # doubles: a byte per fd, and few copies
        self.states[fd] = HANDSHAKE
        self.deadline(fd, self.timeouts.read_header)
        return ()

    def received(self, fd: int, view: memoryview) -> Sequence[Buffer]:
        """Take what one read brought, a byte or more; return what to send.

        `view` is overwritten, and buffers of the answer may lie in it.
        """
        if self.states[fd] == OPEN and (code := self._one(view, self.limit)):
            if self._batch is not None:
                offset = code >> 4
                return self._batch(fd, view, [(offset, len(view) - offset, code & 0x0F, 1)])
            payload = view[code >> 4 :]
            said = self._message(fd, code & 0x0F, payload)
            if said is payload:
                return (view[4:],)
            return () if said is None else self._framed(fd, said)
        answer: list[Buffer] = []
        if self.states[fd] in (QUIET, PINGED):
            self._sign_of_life(fd)
        try:
            if self.states[fd] == HANDSHAKE:
                view = view[self._shake_hands(fd, view, answer) :]
            if view and self.states[fd] != ENDED:
                self._frames(fd, view, answer)
        except ProtocolError as error:
            self._fail(fd, error, answer)
        if len(answer) > MANY:
            answer = [b"".join(answer)]
        if self.states[fd] == ENDED:
            answer.append(self.end)
        return answer

    def close(
        self, fd: int, code: int = CloseCode.NORMAL_CLOSURE, reason: str = ""
    ) -> Sequence[Buffer]:
        """Begin to end a connection, from outside its own calls; return what to send.

        The client answers with a Close frame of its own (section 7.1.2). Until then it may send
        more, which is thrown away; how long to wait is for the server. Raises ValueError for a
        code that must not be sent.
        """
        state = self.states[fd]
        if state == HANDSHAKE:
            self._over(fd)
            return (self.end,)
        if state not in AT_WORK:
            return ()
        frame = encode_close(code, reason)
        self._closing(fd)
        return (frame,)

    def goodbye(self, fd: int) -> Sequence[Buffer]:
        """Begin to end a connection because the server does; return what to send."""
        return self.close(fd, CloseCode.GOING_AWAY)

    def expired(self, fd: int) -> Sequence[Buffer]:
        """Be told that the deadline has come; return what to send."""
        state = self.states[fd]
        answer: list[Buffer] = []
        if state == OPEN:
            self.states[fd] = QUIET
            self.deadline(fd, self.timeouts.idle / 2)
        elif state == QUIET:
            self.states[fd] = PINGED
            self.deadline(fd, self.timeouts.pong)
            answer = [encode(PING, b"")]
        elif state == HANDSHAKE:
            self._over(fd)
            late = "The request did not arrive in time.\n"
            answer = [response(HTTPStatus.REQUEST_TIMEOUT, late.encode()), self.end]
        elif state == BUSY:
            late = f"a message took longer than {self.timeouts.read:g} s"
            self._fail(fd, ProtocolError(CloseCode.POLICY_VIOLATION, late), answer)
            answer.append(self.end)
        elif state in (PINGED, CLOSING):  # nobody is there to be told
            self._ended(fd, CloseCode.ABNORMAL_CLOSURE)
            answer = [self.end]
        return answer

    def is_open(self, fd: int) -> bool:
        """Tell whether messages may be sent: after the handshake, and before any Close frame."""
        return fd < len(self.states) and self.states[fd] in AT_WORK

    def closed(self, fd: int) -> None:
        """Forget a connection, which is gone, for whatever reason."""
        state = self.states[fd]
        self.requests.pop(fd, None)
        self.unfinished.pop(fd, None)
        self.states[fd] = FREE
        if state in AT_WORK or state == CLOSING:
            self.app.closed(fd, CloseCode.ABNORMAL_CLOSURE)

    # --- from bytes to frames ---

    def _shake_hands(self, fd: int, view: memoryview, answer: list[Buffer]) -> int:
        """Go on with the handshake; return how many bytes of `view` it took."""
        if view.readonly:
            raise TypeError("frames are unmasked where they lie: the view must be writable")
        request = self.requests.get(fd)
        before = 0
        if request is not None:
            before = len(request)
            request += view
        done = self.handshake.answer(view if request is None else request, before)
        if done is None:
            if request is None:
                self.requests[fd] = bytearray(view)
            return len(view)
        self.requests.pop(fd, None)
        answer.append(done.response)
        if done.request is None:
            self._over(fd)
        else:
            self.states[fd] = OPEN
            self.deadline(fd, self.timeouts.idle / 2)
            greeting = self.app.opened(fd, done.request)
            if greeting is not None:
                answer += self._framed(fd, greeting)
        return done.consumed - before

    def _frames(self, fd: int, view: memoryview, answer: list[Buffer]) -> None:
        """Take frames, whole or cut; keep what is unfinished, and nothing else."""
        spare.reclaim()
        part = self.unfinished.pop(fd, None) or Unfinished(self._unmask)
        start, stop = 0, len(view)
        begun = False  # whether what is unfinished at the end has begun in this read
        while start < stop:
            begun = begun or part.is_empty()
            if part.between_frames():
                start = self._whole_frames(fd, part, view, start, answer)
            if start < stop and self.states[fd] != ENDED:
                start = self._cut_frame(fd, part, view, start, answer)
            if self.states[fd] == ENDED:
                return
        empty = part.is_empty()
        if not empty:
            self.unfinished[fd] = part
        if self.states[fd] == CLOSING:
            return
        if not empty and begun:
            self.deadline(fd, self.timeouts.read)
        elif empty and self.states[fd] == BUSY:
            self.deadline(fd, self.timeouts.idle / 2)
        self.states[fd] = OPEN if empty else BUSY

    def _parse_frames(
        self, fd: int, part: Unfinished, view: memoryview, start: int, answer: list[Buffer]
    ) -> int:
        """Take the frames that are whole, one by one; return where the first cut one begins."""
        for offset, length, opcode, fin in parse(view, start, len(view), self.limit):
            self._frame(fd, part, view, offset, length, opcode, fin, answer)
            start = offset + length
            if self.states[fd] == ENDED:
                break
        return start

    def _scan_frames(
        self, fd: int, part: Unfinished, view: memoryview, start: int, answer: list[Buffer]
    ) -> int:
        """Do the same with the scanner: all plain messages at once, then the rest one by one."""
        rows, plain, start = self._scan(view, start, len(view), self.limit)
        if part.kind or self.states[fd] == CLOSING:
            plain = 0  # out of order, or no longer wanted
        if plain == len(rows) > 0:
            self._deliver_all(fd, view, rows, answer)
            return start
        if plain:
            self._deliver_all(fd, view, rows[:plain], answer)
        for offset, length, opcode, fin in rows[plain:].tolist():
            self._frame(fd, part, view, offset, length, opcode, fin, answer)
            if self.states[fd] == ENDED:
                break
        return start

    def _frame(
        self,
        fd: int,
        part: Unfinished,
        view: memoryview,
        offset: int,
        length: int,
        opcode: int,
        fin: int,
        answer: list[Buffer],
    ) -> None:
        """Take a frame that lies in the window whole."""
        payload = view[offset : offset + length]
        if opcode >= CLOSE:
            self._control(fd, opcode, payload, answer)
        elif fin and opcode and not part.kind:  # a whole message: nothing to keep
            if opcode == TEXT:
                check_text(payload)
            self._deliver(fd, opcode, view, offset, length, answer)
        else:
            part.begin(opcode, length, self.limit)
            part.add(payload, fin == 1)
            if fin:
                self._deliver_kept(fd, part, answer)

    def _cut_frame(
        self, fd: int, part: Unfinished, view: memoryview, start: int, answer: list[Buffer]
    ) -> int:
        """Begin a frame that is not whole, or go on with it; return where it ends for now."""
        if part.first < 0:
            start = part.open_frame(view, start, self.limit)
            if part.first < 0:
                return start
        start = part.fill_frame(view, start)
        if part.taken == part.length:
            first, part.first = part.first, -1
            if first >= FIN | CLOSE:
                payload, part.control = part.control, b""
                self._control(fd, first & 0x0F, payload, answer)
            elif first >= FIN:
                self._deliver_kept(fd, part, answer)
        return start

    # --- from frames to the app, and back ---

    def _control(self, fd: int, opcode: int, payload: Buffer, answer: list[Buffer]) -> None:
        """Answer a control frame (section 5.5)."""
        if opcode == PING:
            answer.append(encode(PONG, payload))
        elif opcode == CLOSE:
            code = parse_close(payload).code
            if self.states[fd] != CLOSING:
                answer.append(encode(CLOSE, payload))
            self._ended(fd, code)

    def _deliver(
        self,
        fd: int,
        opcode: int,
        window: memoryview,
        offset: int,
        length: int,
        answer: list[Buffer],
    ) -> None:
        """Hand a message to the app; send what it says."""
        if self.states[fd] == CLOSING:
            return
        if self._batch is not None:
            answer += self._batch(fd, window, [(offset, length, opcode, 1)])
            return
        payload = window[offset : offset + length]
        said = self._message(fd, opcode, payload)
        if said is payload:
            answer.append(window[encode_before(window, offset, length, opcode) : offset + length])
        elif said is not None:
            answer += self._framed(fd, said)

    def _deliver_kept(self, fd: int, part: Unfinished, answer: list[Buffer]) -> None:
        """Hand over a message that was put together from pieces."""
        opcode, message, stop = part.end()
        self._deliver(fd, opcode, memoryview(message), HEADROOM, stop - HEADROOM, answer)
        spare.lend(message)

    def _deliver_all(self, fd: int, window: memoryview, rows: Array, answer: list[Buffer]) -> None:
        """Hand over the scanner's messages. Neighbours that are sent back go as one buffer."""
        if self._batch is not None:
            answer += self._batch(fd, window, rows)
            return
        message = self._message
        first = 0  # from this row on, all so far are to be sent back
        for row, (offset, length, opcode, _) in enumerate(zip(*rows.T.tolist(), strict=True)):
            payload = window[offset : offset + length]
            said = message(fd, opcode, payload)
            if said is not payload:
                if first < row:
                    answer += reply(window, rows[first:row])
                first = row + 1
                if said is not None:
                    answer += self._framed(fd, said)
                    if self.states[fd] == CLOSING:
                        return
        if first < len(rows):
            answer += reply(window, rows[first:])

    def _framed(self, fd: int, said: str | Buffer | Close) -> Sequence[Buffer]:
        """Put what the app said into frames. A payload is not copied."""
        if isinstance(said, Close):
            self._closing(fd)
            return (encode_close(said.code, said.reason),)
        if isinstance(said, str):
            text = said.encode()
            return encode_header(TEXT, len(text)), text
        return encode_header(BINARY, len(said)), said

    def _fail(self, fd: int, error: ProtocolError, answer: list[Buffer]) -> None:
        """Fail the connection (section 7.1.7): say why, unless we have said goodbye already."""
        if self.states[fd] != CLOSING:
            answer.append(encode_close(error.code, error.reason))
        self._ended(fd, error.code)

    def _sign_of_life(self, fd: int) -> None:
        """Something has come from a client that was silent."""
        if self.states[fd] == PINGED:
            self.deadline(fd, self.timeouts.idle / 2)
        self.states[fd] = OPEN

    def _closing(self, fd: int) -> None:
        """Our Close frame goes out; the client has so long to answer it."""
        self.states[fd] = CLOSING
        self.deadline(fd, self.timeouts.close)

    def _ended(self, fd: int, code: int) -> None:
        """The connection is over; the socket is for the server to close."""
        self._over(fd)
        self.app.closed(fd, code)

    def _over(self, fd: int) -> None:
        """Let go of all that is known of a connection; nothing more is sent or read."""
        self.states[fd] = ENDED
        self.requests.pop(fd, None)
        self.unfinished.pop(fd, None)
        self.deadline(fd, 0)
