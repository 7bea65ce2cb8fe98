"""What the chat must do, in seven stages, each a few tests.

A test is a case as check() runs them (trial.py): it plays the users, and raises Wrong with words
for the one who wrote the server. A stage builds on those before it, and its tests use no more of
the server than that.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from iomodels.course.cases import TOO_BUSY
from iomodels.course.project.host import Hosted, Serve, hosting
from iomodels.course.project.users import User, frame, room, short, told
from iomodels.course.trial import Case, Wrong
from iomodels.measure.dialogues import UPGRADE
from iomodels.measure.limits import SPARE, raise_soft_limit
from iomodels.websocket.frames import CLOSE, CONTINUATION, FIN, PING, PONG, TEXT, encode

LONG = "x" * 4000  # bytes; a message may have 4,096
SMALL_BUFFER = 4096  # bytes, of a kernel buffer: it fills up soon
KEPT = 32  # long messages that a server must keep for who is slow: 128 kB
ENOUGH = 500  # long messages after which it must have cut off who does not read: 2 MB
ROOM = 24  # descriptors that a server may open, in the test of what it does without
PATIENCE = 0.3  # seconds that a newcomer has for its request, in the test of that
SPINS = 0.5  # of the time on a CPU, or waiting for one: who sleeps is there for less


# --- 1: the upgrade ---


def upgrade(serve: Serve) -> None:
    """a client asks for the upgrade, and gets it"""
    with hosting(serve) as server, contextlib.closing(User(server, "a client")) as user:
        user.upgrade()


def upgrade_in_pieces(serve: Serve) -> None:
    """the request comes in three pieces"""
    with hosting(serve) as server, contextlib.closing(User(server, "a client")) as user:
        for piece in (UPGRADE[:20], UPGRADE[20:90], UPGRADE[90:]):
            user.send(piece)
            server.wait(lambda: False, 0.05)
        user.hear_the_answer("the request was sent in three pieces")


def upgrade_beside_the_silent(serve: Serve) -> None:
    """two clients connect and say nothing; a third asks for the upgrade"""
    with hosting(serve) as server, contextlib.ExitStack() as stack:
        users = [User(server, f"client {number}") for number in (1, 2, 3)]
        for user in users:
            stack.callback(user.close)
        users[2].upgrade()


# --- 2: frames to messages ---


def alone(serve: Serve) -> None:
    """one user gives its name, says something, and hears both"""
    with hosting(serve) as server, room(server, "Ann") as (ann,):
        for text in ("hello", "hello again ☺", LONG):
            ann.say(text)
            ann.expect(f"Ann: {text}", f"Ann had said `{short(text)}`")


def byte_by_byte(serve: Serve) -> None:
    """a frame comes byte by byte"""
    with hosting(serve) as server, room(server, "Ann") as (ann,):
        for byte in frame("hello"):
            ann.send(bytes([byte]))
            server.wait(lambda: False, 0.005)
        ann.expect("Ann: hello", "the frame had come byte by byte")


def many_at_once(serve: Serve) -> None:
    """the name and two messages come in one segment with the request"""
    with hosting(serve) as server, contextlib.closing(User(server, "Ann")) as ann:
        ann.send(UPGRADE + frame("Ann") + frame("one") + frame("two"))
        after = "request, name, `one` and `two` had come in one segment"
        ann.hear_the_answer(after)
        for text in ("* Ann has come", "Ann: one", "Ann: two"):
            ann.expect(text, after)


def fragments(serve: Serve) -> None:
    """a message comes in three fragments"""
    with hosting(serve) as server, room(server, "Ann") as (ann,):
        for first, text in ((TEXT, "in "), (CONTINUATION, "three "), (FIN | CONTINUATION, "parts")):
            ann.send(bytes([first]) + frame(text)[1:])
        ann.expect("Ann: in three parts", "the message had come in three fragments")


# --- 3: to everyone ---


def to_everyone(serve: Serve) -> None:
    """what one says, everybody hears, and so does the one"""
    with hosting(serve) as server, room(server, "Ann", "Bob", "Cem") as everyone:
        for user in everyone:
            user.say("hi")
            for other in everyone:
                other.expect(f"{user.who}: hi", f"{user.who} had said `hi`")


def strangers(serve: Serve) -> None:
    """who has not given a name hears nothing"""
    with hosting(serve) as server, contextlib.ExitStack() as stack:
        strangers = [User(server, "who only connected"), User(server, "who gave no name")]
        for stranger in strangers:
            stack.callback(stranger.close)
        strangers[1].upgrade()
        (ann,) = stack.enter_context(room(server, "Ann"))
        ann.say("hi")
        ann.expect("Ann: hi", "Ann had said `hi`")
        server.wait(lambda: any(stranger.something_came() for stranger in strangers))
        server.expect_alive()
        for stranger in strangers:
            stranger.expect_silence("Ann had said `hi`")


def one_order(serve: Serve) -> None:
    """eight users talk at once, and all hear the same, in the same order"""
    names = [f"user {number}" for number in range(8)]
    with hosting(serve) as server, room(server, *names) as everyone:
        hear_all(everyone, 10)


def hear_all(everyone: Sequence[User], messages: int) -> None:
    """Let all users say so many messages; raise Wrong unless all hear all in one order."""
    for number in range(messages):
        for user in everyone:
            user.say(f"{number}")
    due = sorted(f"{user.who}: {number}" for user in everyone for number in range(messages))
    said = f"all {len(everyone)} users had said {messages} messages each"
    first: list[str] = []
    for user in everyone:
        heard = []
        for number in range(len(due)):
            opcode, payload = user.frame(f"message {number + 1} of {len(due)}", said)
            if opcode != TEXT:
                raise Wrong(f"{said}, and {user.who} heard {told(opcode, payload)}")
            heard.append(payload.decode(errors="replace"))
        if sorted(heard) != due:
            wrong = next(text for text in heard if text not in due or heard.count(text) > 1)
            raise Wrong(
                f"{said}, and {user.who} heard `{short(wrong)}`, twice or not as it was said"
            )
        first = first or heard
        if heard != first:
            raise Wrong(
                f"{said}, and {everyone[0].who} and {user.who} heard them in different orders"
            )


# --- 4: the reader who does not read ---


def a_sleeper(serve: Serve) -> None:
    """one does not read, and the others hear everything all the same"""
    with quiet_room(serve, "Ann", "Bob") as (everyone, _):
        for number in range(KEPT):
            everyone[0].say(LONG)
            after = f"Cem reads nothing, Ann had said message {number + 1} ({len(LONG):,} bytes)"
            for user in everyone:
                user.expect(f"Ann: {LONG}", after)


def a_slow_reader(serve: Serve) -> None:
    """one begins to read after a while, and has missed nothing"""
    with quiet_room(serve, "Ann") as ((ann,), cem):
        for _ in range(KEPT):
            ann.say(LONG)
            ann.expect(f"Ann: {LONG}", "Cem reads nothing yet, Ann had said it")
        for number in range(KEPT):
            cem.expect(
                f"Ann: {LONG}", f"Cem reads at last, and this is message {number + 1} of {KEPT}"
            )
        ann.say("and on")
        cem.expect("Ann: and on", "Cem had read all, and Ann had said `and on`")


def who_never_reads(serve: Serve) -> None:
    """one never reads: it is cut off before 2 MB wait for it, and the others are told"""
    with quiet_room(serve, "Ann") as ((ann,), _):
        for number in range(ENOUGH):
            ann.say(LONG)
            after = f"Cem reads nothing, Ann had said message {number + 1}"
            if "* Cem has gone" in ann.expect_until(f"Ann: {LONG}", after):
                return
        ann.expect("* Cem has gone", f"{ENOUGH} messages of {len(LONG):,} bytes wait for Cem")


@contextlib.contextmanager
def quiet_room(serve: Serve, *names: str) -> Iterator[tuple[list[User], User]]:
    """Users in a room, and Cem, who comes in, hears of it, and does not read on.

    All kernel buffers are small, and full soon.
    """
    with (
        hosting(serve, send_buffer=SMALL_BUFFER) as server,
        room(server, *names) as others,
        contextlib.closing(User(server, "Cem", receive_buffer=SMALL_BUFFER)) as cem,
    ):
        cem.upgrade()
        cem.say("Cem")
        for user in (*others, cem):
            user.expect("* Cem has come", "Cem had come in")
        yield others, cem


# --- 5: goodbye ---


def leaving(serve: Serve) -> None:
    """users leave, by closing and by a reset; the others are told, and nothing stays open"""
    with hosting(serve) as server, room(server, "Ann") as (ann,):
        before = server.descriptors()
        for number in range(10):
            with room_with(server, ann, f"Bob {number}") as bob:
                bob.close() if number % 2 else bob.reset()
                how = "closed its connection" if number % 2 else "reset its connection"
                ann.expect(f"* {bob.who} has gone", f"{bob.who} had {how}")
        if not server.wait(lambda: server.descriptors() <= before):
            more = server.descriptors() - before
            raise Wrong(f"10 users have come and gone, and {more} more descriptors are open now")


@contextlib.contextmanager
def room_with(server: Hosted, ann: User, name: str) -> Iterator[User]:
    """One more, who comes to Ann."""
    with contextlib.closing(User(server, name)) as user:
        user.upgrade()
        user.say(name)
        for other in (ann, user):
            other.expect(f"* {name} has come", f"{name} had come in")
        yield user


def leaving_together(serve: Serve) -> None:
    """eight users break off at the moment when somebody speaks"""
    names = [f"user {number}" for number in range(8)]
    with hosting(serve) as server, room(server, "Ann", *names) as (ann, *others):
        ann.say("one")
        for user in others:
            user.reset()
        for text in ("two", "three"):
            ann.say(text)
        after = "eight users had broken off while Ann spoke"
        left = {f"* {name} has gone" for name in names} | {"Ann: one", "Ann: two", "Ann: three"}
        while left:
            opcode, payload = ann.frame(f"`{sorted(left)[0]}`", after)
            text = payload.decode(errors="replace")
            if opcode != TEXT or text not in left:
                raise Wrong(
                    f"{after}, and Ann heard {told(opcode, payload)}, twice or out of place"
                )
            left.remove(text)


def close_frame(serve: Serve) -> None:
    """a Close frame is answered with one, and then the connection ends"""
    with hosting(serve) as server, room(server, "Ann", "Bob") as (ann, bob):
        after = "Bob had sent a Close frame"
        bob.send(encode(CLOSE, b"\x03\xe8bye", b"mask"))
        opcode, payload = bob.frame("a Close frame", after)
        if opcode != CLOSE:
            raise Wrong(f"{after}, and Bob heard {told(opcode, payload)}, not a Close frame")
        if payload[:2] != b"\x03\xe8":
            raise Wrong(f"{after}, and heard {told(opcode, payload)}: the answer repeats the code")
        bob.expect_the_end("after the Close frames")
        ann.expect("* Bob has gone", after)


def ping(serve: Serve) -> None:
    """a ping is answered with its own bytes, between the fragments of a message too"""
    with hosting(serve) as server, room(server, "Ann", "Bob") as (ann, bob):
        ann.send(bytes([TEXT]) + frame("two ")[1:])
        ann.send(encode(PING, b"there?", b"mask"))
        after = "Ann had sent a ping with `there?`"
        if (got := ann.frame("a pong", after)) != (PONG, b"there?"):
            raise Wrong(f"{after}, and heard {told(*got)}, not a pong with b'there?'")
        ann.send(bytes([FIN | CONTINUATION]) + frame("parts")[1:])
        for user in (ann, bob):
            user.expect("Ann: two parts", "a ping had come between the fragments")


def against_the_rules(serve: Serve) -> None:
    """a frame without a mask: Close 1002, and only for who has sent it"""
    with hosting(serve) as server, room(server, "Ann", "Bob") as (ann, bob):
        bob.send(encode(TEXT, b"no mask"))
        after = "Bob had sent a frame without a mask"
        opcode, payload = bob.frame("a Close frame", after)
        if (opcode, payload[:2]) != (CLOSE, b"\x03\xea"):
            raise Wrong(f"{after}, and heard {told(opcode, payload)}, not a Close frame with 1002")
        ann.expect("* Bob has gone", after)


# --- 6: deadlines, and no room ---


def slow_request(serve: Serve) -> None:
    """who does not finish its request in time is hung up on; who is silent in the room is not"""
    with hosting(serve, patience=PATIENCE) as server, room(server, "Ann") as (ann,):
        came = time.monotonic()
        with contextlib.closing(User(server, "a slow client")) as slow:
            slow.send(UPGRADE[:30])
            soon = server.wait(slow.something_came, PATIENCE / 3)
            if soon and time.monotonic() - came < PATIENCE:
                raise Wrong("a slow client was answered, or hung up on, long before its time")
            if not server.wait(slow.something_came, PATIENCE + 2.0, quiet=PATIENCE + 1.0):
                server.expect_alive()
                raise Wrong(
                    f"a slow client is still connected: `patience` was {PATIENCE:g} s, and it has "
                    f"sent half a request; {server.fate()}"
                )
            slow.expect_the_end("after its time was over", shaken=False)
        ann.say("still here")
        ann.expect("Ann: still here", f"Ann had been silent for more than {PATIENCE:g} s")


def no_room(serve: Serve) -> None:
    """there are no descriptors left: the server goes on, sleeps, and lets the next one in later"""
    with full_house(serve) as (server, ann, others, waiting):
        awake = server.awake()
        server.expect_alive()
        if awake > SPINS:
            raise Wrong(
                "accept fails with EMFILE, and your server asks again at once, without end: it "
                f"wants a CPU {awake:.0%} of the time, and does nothing; {server.fate()}"
            )
        ann.say("hi")
        ann.expect("Ann: hi", "accept had failed with EMFILE, and Ann had said `hi`")
        if waiting.something_came():  # only now: there was room, and nothing has been shown
            waiting.hear_the_answer("the request was sent")
            raise Wrong(TOO_BUSY)
        others[0].close()
        waiting.hear_the_answer(
            "a descriptor is free again, for a client has left; a request had waited for it"
        )


@contextlib.contextmanager
def full_house(serve: Serve) -> Iterator[tuple[Hosted, User, list[User], User]]:
    """A server that has no descriptor left, with Ann in the room, and one who waits outside."""
    with hosting(serve, more=ROOM) as server, contextlib.ExitStack() as stack:
        (ann,) = stack.enter_context(room(server, "Ann"))
        others: list[User] = []
        while True:
            user = User(server, f"client {len(others) + 1}")
            stack.callback(user.close)
            user.send(UPGRADE)
            if not server.wait(user.something_came):
                server.expect_alive()
                break
            user.hear_the_answer("the request was sent")
            others.append(user)
            if len(others) > ROOM:
                raise Wrong("more clients are in than the server has descriptors")
        if not others:
            raise Wrong(f"Ann is in, and the next client still waits; {server.fate()}")
        yield server, ann, others, user


def the_end(serve: Serve) -> None:
    """the listener is shut down: the server ends every connection, and returns"""
    with hosting(serve) as server, room(server, "Ann", "Bob") as everyone:
        after = "the listener was shut down"
        server.shut_down()
        for user in everyone:
            user.expect_the_end(f"after {after}")
            user.close()
        server.expect_return(f"{after}, and all users have left")


# --- 7: many ---


def a_crowd(serve: Serve) -> None:
    """a thousand are connected, sixty of them in the room; all sixty speak at once"""
    crowd = min(1_000, raise_soft_limit() - 2 * SPARE - 60)
    with hosting(serve) as server, contextlib.ExitStack() as stack:
        for number in range(crowd):
            user = User(server, f"client {number + 1}")
            stack.callback(user.reset)
            user.send(UPGRADE)
            user.hear_the_answer(f"{number} are in, the request of one more was sent")
        names = [f"user {number}" for number in range(60)]
        hear_all(stack.enter_context(room(server, *names)), 2)


@dataclass(frozen=True)
class Stage:
    """A few tests that belong together."""

    title: str
    tests: tuple[Case, ...]


STAGES = (
    Stage("The upgrade", (upgrade, upgrade_in_pieces, upgrade_beside_the_silent)),
    Stage("Frames to messages", (alone, byte_by_byte, many_at_once, fragments)),
    Stage("To everyone", (to_everyone, strangers, one_order)),
    Stage("The reader who does not read", (a_sleeper, a_slow_reader, who_never_reads)),
    Stage("Goodbye", (leaving, leaving_together, close_frame, ping, against_the_rules)),
    Stage("Deadlines, and no room", (slow_request, no_room, the_end)),
    Stage("Many", (a_crowd,)),
)
