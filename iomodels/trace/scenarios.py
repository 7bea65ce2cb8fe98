"""The library of scenarios, each built to show one thing."""

from __future__ import annotations

from iomodels.servers import MODELS
from iomodels.trace.scenario import Scenario, Settings

__all__ = ["scenario", "scenarios"]

LETTERS = dict.fromkeys(
    ("processes", "workers-exclusive", "workers-reuseport"),
    "what is published goes from process to process by a thread of the parent, which makes its "
    "calls without a kernel object: the recorder does not see them",
)

ALL = (
    Scenario(
        "slow-client",
        "One slow client",
        "A sends half a word and thinks. Does B wait for it?",
        """
        A connects
        A sends 'he', and thinks
        B connects
        B sends 'hi'
        B reads
        A sends 'llo'
        A reads
        A closes
        B reads
        B closes
        """,
        clients={"A": "slow"},
    ),
    Scenario(
        "head-of-line",
        "Head-of-line blocking",
        "A connects and says nothing. B and C have something to say. Who hears them, and when?",
        """
        A connects, and says nothing
        B connects
        C connects
        B sends 'one'
        C sends 'two'
        B reads
        C reads
        A closes, without a word
        B reads
        B closes
        C reads
        C closes
        """,
        clients={"A": "silent"},
    ),
    Scenario(
        "reset",
        "A reset",
        "A breaks off in the middle, and its kernel sends a reset. What does the server see of it, "
        "and what becomes of B?",
        """
        A connects
        B connects
        A sends 'hello'
        A reads
        A sends 'and one more thing'
        A resets, without reading the answer
        B sends 'still there?'
        B reads
        B closes
        """,
    ),
    Scenario(
        "half-a-frame",
        "Half a frame",
        "A sends the first bytes of a WebSocket frame, and stops. A server must not wait for the "
        "rest of it as long as B has something to say.",
        """
        A connects
        A sends upgrade
        A reads
        A sends the first 3 bytes of frame 'hello', and stops
        B connects
        B sends upgrade
        B reads
        B sends frame 'hi'
        B reads
        A sends the rest
        A reads
        A closes
        B reads
        B closes
        """,
        Settings(app="websocket"),
        clients={"A": "stops in the middle of a frame"},
    ),
    Scenario(
        "half-close",
        "The end of a stream, and half a close",
        "A has said all and shuts its sending end down. It can still read: does it get its answer?",
        """
        A connects
        A sends 'the last word'
        A shuts down
        A reads
        A reads
        A closes
        """,
    ),
    Scenario(
        "full-buffer",
        "A full send buffer",
        "A sends, and does not read. The answers fill A's receive buffer, then the server's send "
        "buffer. Then what?",
        """
        A connects with a receive buffer of 2048 bytes
        B connects
        A sends 8000 bytes, and does not read
        A sends 'more', and still does not read
        B sends 'hi'
        B reads
        A reads
        A reads
        A reads
        A reads
        A closes
        B reads
        B closes
        """,
        Settings(send_buffer=2304, receive_buffer=16384),
        clients={"A": "does not read"},
    ),
    Scenario(
        "edge-trigger",
        "Edge-triggered: the bug and its cure",
        "A sends more than one read takes. Edge-triggered epoll reports it once. Does A get the "
        "whole of its answer?",
        """
        A connects
        A sends 'hello world', and waits for the answer
        A reads
        B connects
        B sends 'hi'
        B reads
        A sends '!'
        A reads
        """,
        models=("edge-once", "edge-drained", "epoll-edge", "epoll"),
        reason="it is about edge-triggered epoll, with a level-triggered one beside it",
    ),
    Scenario(
        "dup-trap",
        "The dup trap",
        "Something keeps a copy of each connection's descriptor. A leaves, and the server closes "
        "its number. The kernel's list does not go by numbers.",
        """
        A connects
        A sends 'hi'
        A reads
        A closes
        B connects
        B sends 'hello'
        B reads
        """,
        models=("dup-forgotten", "dup-removed"),
        reason="the course's servers take each descriptor off the list before they close it, so "
        "there is one that does not, and its cure",
    ),
    Scenario(
        "accept-queue",
        "The accept queue overflows",
        "The server is busy with A. The queue has room for two. What happens to the third?",
        """
        A connects, and says nothing
        B connects
        C connects
        D connects
        B sends 'hi'
        A closes
        B reads
        D asks again
        B closes
        C closes
        D sends 'at last'
        D reads
        D closes
        """,
        Settings(backlog=1),
        models=("blocking",),
        reason="this server accepts whoever comes at once, so the queue never fills",
    ),
    Scenario(
        "herd",
        "The thundering herd",
        "Three workers wait for one client. How many wake, and for what?",
        """
        A connects
        A sends 'hello'
        A reads
        B connects
        B sends 'hello'
        B reads
        C connects
        C sends 'hello'
        C reads
        """,
        Settings(workers=3),
        models=("workers-shared", "workers-exclusive", "workers-reuseport"),
        reason="it takes several processes that wait for the same clients",
    ),
    Scenario(
        "select-limit",
        "Where select ends",
        "The process has 1,022 descriptors open beside its listener. A's connection gets the "
        "number 1023, B's 1024.",
        """
        A connects
        A sends 'hello'
        A reads
        B connects
        B sends 'hello'
        B reads
        B reads
        """,
        Settings(occupied=1023),
        models=("select", "poll", "nonblocking"),
        reason="what ends there is select's set of bits; it is shown beside two that have none",
    ),
    Scenario(
        "websocket",
        "A handshake with a frame behind it",
        "A sends its first frame together with the request for the upgrade, in one segment, and "
        "reads after that. A server that throws away what stands behind the request loses it.",
        """
        A connects
        A sends upgrade and frame 'hello'
        A reads
        A sends frame 'one' and frame 'two'
        A reads
        A closes
        """,
        Settings(app="websocket"),
    ),
    Scenario(
        "slow-loris",
        "Slow loris against a deadline",
        "A sends its request a few bytes at a time, for ever. The server lets nobody take longer "
        "than 10 seconds for it.",
        """
        A connects
        A sends the first 16 bytes of upgrade, and takes its time
        4 seconds pass
        A sends the next 16 bytes, and takes its time
        4 seconds pass
        A sends the next 16 bytes, and takes its time
        3 seconds pass
        A reads
        A reads
        A closes
        """,
        Settings(app="websocket", timeouts={"read_header": 10, "close": 2}),
        clients={"A": "a slow loris"},
    ),
    Scenario(
        "broadcast",
        "A broadcast",
        "What A says in the chat, everybody hears: who is told when, and by how many calls?",
        """
        A connects
        A sends upgrade and frame 'Ada'
        A reads
        B connects
        B sends upgrade and frame 'Bob'
        A reads
        B reads
        A sends frame 'hello, all'
        A reads
        B reads
        B closes
        A reads
        """,
        Settings(app="chat"),
        without={
            **LETTERS,
            "blocking": "it has one client at a time, and nobody whom that one could be heard by",
        },
        clients={"A": "Ada", "B": "Bob"},
    ),
)


def scenarios() -> dict[str, Scenario]:
    """The scenarios of the library, by name."""
    return {each.name: each for each in ALL}


def scenario(name: str) -> Scenario:
    """Return a scenario of the library. Raises ValueError for a name that is not there."""
    found = scenarios()
    if name not in found:
        raise ValueError(f"no scenario named {name!r}; there are {', '.join(found)}")
    return found[name]


def models_for(each: Scenario) -> list[str]:
    """The models that a scenario is for."""
    return [m for m in each.models or MODELS if not each.why_not(m)]
