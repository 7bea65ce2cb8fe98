"""Words for the calls that wait for many at once, or for something else than a descriptor."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from iomodels.trace.plain import listed, several
from iomodels.trace.words.scene import Scene


def epoll_create(scene: Scene) -> str:
    """epoll_create1(2)."""
    return (
        f"The kernel makes an epoll, descriptor {scene.told['result']}. Its interest list is empty."
    )


def epoll_ctl(scene: Scene) -> str:
    """epoll_ctl(2)."""
    words = scene.told["args"].split(", ")
    operation, whose = words[1], scene.whose(scene.told["fd"])
    if scene.error:
        return f"`epoll_ctl` refuses to do {operation} for descriptor {words[2]}: {scene.error}."
    if operation == "DEL":
        return f"{scene.me} takes {whose} off the interest list."
    events = words[3]
    wanted = " and ".join(
        text for bit, text in (("IN", "something to read"), ("OUT", "room to send"))
        if bit in events.split("|")
    )  # fmt: skip
    if operation == "MOD":
        return f"From now on epoll watches {whose} for {wanted}."
    text = f"{scene.me} puts {whose} on the interest list, for {wanted}"
    if "ET" in events.split("|"):
        text += "; edge-triggered: each event is reported once"
    if "EXCLUSIVE" in events.split("|"):
        text += "; exclusive: not all who sleep are to wake for it"
    return f"{text}."


def wait(scene: Scene) -> str:
    """epoll_wait, poll and select."""
    name = scene.told["name"]
    watch = watch_of(scene)
    watched = [entry["fd"] for entry in watch["interest"]]
    if scene.sleeps:
        return f"{nobody(scene)} {scene.me} sleeps in `{name}`, until {anybody(scene, watched)}."
    if scene.error:
        return f"`{name}` fails with {scene.error}."
    ready = sorted(set(readiness(scene)))
    if not ready:
        if scene.told.get("timed_out"):
            return f"The time is over: `{name}` returns, and nobody is ready."
        return f"`{name}` does not wait, and finds nobody ready."
    text = f"`{name}` returns: {'; '.join(tell_ready(scene, fd, mask) for fd, mask in ready)}."
    if name != "epoll_wait" and len(watched) > 1:
        text += f" For that the kernel has looked at all {len(watched)}."
    return text


def nobody(scene: Scene) -> str:
    """Why the server sleeps: nobody is ready; or somebody is, and it has been told so before."""
    for entry in watch_of(scene)["interest"]:
        name = scene.client(entry["fd"])
        if "ET" in entry["events"].split("|") and (left := scene.socket(name).get("in_bytes")):
            return (
                f"{several(left, 'byte')} from {name} {'is' if left == 1 else 'are'} still unread. "
                "But that they have come was reported before, and edge-triggered it is not "
                "reported again."
            )
    return "Nobody is ready."


def watch_of(scene: Scene) -> Mapping[str, Any]:
    """What the process of the step watches."""
    watch: Mapping[str, Any] = scene.after["watch"]
    for each in watch.get("all", ()):
        if each["pid"] == scene.pid:
            return dict(each)
    return watch


def readiness(scene: Scene) -> list[tuple[int, int]]:
    """Who was reported, and for which events."""
    raw = scene.told.get("raw") or []
    if scene.told["name"] == "select":
        return [(fd, 1) for fd in raw[0]] + [(fd, 4) for fd in raw[1]] if raw else []
    return [(fd, mask) for fd, mask in raw]


def tell_ready(scene: Scene, fd: int, mask: int) -> str:
    """One who is ready, and for what."""
    name = scene.client(fd)
    if name is None:
        if scene.entry(fd, "what") == "listener":
            return "somebody waits to be accepted"
        if scene.entry(fd, "what") is None:
            return f"descriptor {fd}, a number that is closed"
        return f"{scene.whose(fd)} is ready"
    size = scene.socket(name).get("in_bytes", 0)
    if mask & 8 or scene.socket(name).get("state") == "RESET":
        return f"{name} has reset its connection"
    if mask & 1 and size:
        return f"{name} has something to read"
    if mask & 1 and scene.socket(name).get("state") == "CLOSE_WAIT":
        return f"{name} has ended its stream"
    if mask & 4:
        return f"there is room to send to {name}"
    return f"descriptor {fd}, though {name} has sent nothing"


def anybody(scene: Scene, watched: list[int]) -> str:
    """What would end the sleep."""
    wanted = {e["fd"]: e["events"].split("|") for e in watch_of(scene)["interest"]}
    listens = [fd for fd in watched if scene.entry(fd, "what") == "listener"]
    reads = [n for fd in watched if (n := scene.client(fd)) and "IN" in wanted[fd]]
    writes = [n for fd in watched if (n := scene.client(fd)) and "IN" not in wanted[fd]]
    parts = ["somebody connects" if "IN" in wanted[fd] else "it is told to stop" for fd in listens]
    parts += [f"{listed(sorted(set(reads)), 'or')} sends something or leaves"] * bool(reads)
    parts += [f"there is room to send to {listed(writes, 'or')}"] * bool(writes)
    return ", or ".join(parts) or "something happens"


def sigtimedwait(scene: Scene) -> str:
    """sigtimedwait(2)."""
    if scene.sleeps:
        return f"No event is queued. {scene.me} sleeps in `sigtimedwait`, until a signal comes."
    raw = scene.told.get("raw")
    if not raw:
        if scene.told.get("timed_out"):
            return "No signal has come; the time is over."
        return "No more signals are queued."
    if raw[1] and (scene.client(raw[1]) or scene.entry(raw[1], "what")):
        return f"A signal: something has happened to {scene.whose(raw[1])} ({raw[1]})."
    return f"A signal, for descriptor {raw[1]}, which is closed."


def io_uring_setup(scene: Scene) -> str:
    """io_uring_setup(2)."""
    return "The kernel makes a ring: a queue for orders, and one for what is done."


def io_uring_enter(scene: Scene) -> str:
    """io_uring_enter(2): what is handed over, and what is done."""
    watch = watch_of(scene)
    asked = scene.told["args"].split("]")[0].lstrip("[")
    orders = f"{scene.me} hands over {code(asked)}. " if asked else ""
    if scene.sleeps:
        with_kernel = listed([f"`{order}`" for order in watch.get("queue", ())])
        return f"{orders}Nothing is done yet: it sleeps, and the kernel has {with_kernel} to do."
    if scene.error:
        return f"`io_uring_enter` fails with {scene.error}."
    orders = "" if scene.moment.kind == "wake" else orders
    done = [tell_done(scene, each) for each in orders_of(scene.told["result"])]
    if scene.told["result"] == "nothing":
        return f"{orders}Nothing is done yet."
    return f"{orders}Done: {'; '.join(done)}."


def tell_done(scene: Scene, done: str) -> str:
    """A completion, "recv(5) = 2", and what it means."""
    order, _, result = done.partition(" = ")
    kind, _, arguments = order.partition("(")
    fd = int(arguments.rstrip(")").split(", ")[0])
    said = f"`{done}`"
    if result.startswith("-"):
        return said
    if kind == "accept":
        return f"{said}, {scene.client(int(result))} is accepted"
    name = scene.client(fd)
    if kind == "recv" and result == "0":
        return f"{said}, the end of {name}'s stream"
    if kind == "recv":
        size = int(result)
        lie = "lies" if size == 1 else "lie"
        return f"{said}, {several(size, 'byte')} from {name} {lie} in the server's buffer already"
    if kind == "send":
        return f"{said}, {several(int(result), 'byte')} for {name} taken by the kernel"
    return said


def orders_of(text: str) -> list[str]:
    """The orders or completions in a list of them: "recv(5) = 2, accept(3) = 6"."""
    return re.findall(r"\w+\([^)]*\)(?: = [\w-]+)?", text)


def code(text: str) -> str:
    """Several orders, each as code."""
    return listed([f"`{order}`" for order in orders_of(text)])


def nanosleep(scene: Scene) -> str:
    """clock_nanosleep(2)."""
    if scene.sleeps:
        return f"{scene.me} sleeps for {scene.told['args']}, whoever may come."
    return "The time is over."


def futex(scene: Scene) -> str:
    """A thread that waits for another one: nothing of this is about a descriptor."""
    carrier = scene.names.get(scene.moment.actor, "").startswith("carrier")
    joins = "thread" in scene.told["args"]
    if scene.sleeps and joins:
        return f"{scene.me} sleeps until its carrier has ended."
    if scene.sleeps and carrier:
        return f"The mailbox is empty. {scene.me} sleeps until there is a letter."
    if scene.sleeps:
        return f"{scene.me} sleeps until its carrier has sent what is in the mailbox."
    if joins:
        return f"The carrier has ended, and {scene.name(scene.moment.actor)} goes on."
    if carrier:
        return f"{scene.me} wakes: there is something in the mailbox."
    return f"All has been sent, and {scene.name(scene.moment.actor)} goes on."


WAITS: dict[str, Callable[[Scene], str]] = {
    "epoll_create1": epoll_create, "epoll_ctl": epoll_ctl, "epoll_wait": wait, "poll": wait,
    "select": wait, "sigtimedwait": sigtimedwait, "io_uring_setup": io_uring_setup,
    "io_uring_enter": io_uring_enter, "clock_nanosleep": nanosleep, "futex": futex,
}  # fmt: skip
