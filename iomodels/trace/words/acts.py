"""Words for what clients do, and the clock; and whether the server takes note of it."""

from __future__ import annotations

from collections.abc import Callable

from iomodels.trace.plain import listed, several, shown
from iomodels.trace.words.scene import Scene


def effect(scene: Scene, *, sleeps_on: bool = True) -> str:
    """What the server does about an act: it wakes, or it does not."""
    if scene.moment.wakes:
        return f" That wakes {listed([scene.name(key) for key in scene.moment.wakes])}."
    servers = {k: a for k, a in scene.after["actors"].items() if k in scene.names}
    asleep = {k: a for k, a in servers.items() if a["state"] == "sleeping"}
    if not asleep or not sleeps_on:
        return ""
    if len(asleep) > 1:
        return " Nobody wakes."
    ((key, actor),) = asleep.items()
    about = (
        f", and hears only {actor['of']}"
        if actor.get("of") not in (None, scene.moment.actor)
        else ""
    )
    return f" {scene.name(key, 'The')} sleeps on in `{actor['in']}`{about}."


def connects(scene: Scene) -> str:
    """A client connects, or knocks in vain."""
    name, queue = scene.moment.actor, scene.after["queue"]
    if name in queue.get("dropped", ()):
        return (
            f"{name} knocks. The accept queue is full: {listed(queue['waiting'])} wait in it. The "
            f"kernel drops {name}'s SYN without a word, and {name}'s kernel will ask again in 1 s."
        )
    text = f"{name} connects{aside(scene)}. The two kernels shake hands"
    if name not in queue["waiting"]:  # io_uring: it was ordered before
        return (
            f"{text}, and the server's accepts {name} at once, as it was ordered to.{effect(scene)}"
        )
    return f"{text}, and {name} stands in the accept queue.{effect(scene)}"


def sends(scene: Scene) -> str:
    """A client sends something."""
    name, act, outcome = scene.moment.actor, scene.moment.act, scene.moment.outcome
    assert act
    what = f"`{shown(act.data.decode('latin-1'), len(act.data))}`"
    if not act.what.startswith(("'", '"')):
        what = act.what.replace("'", "`")
    if not outcome.isdecimal():
        return f"{name} sends {what}, and its kernel says {outcome}: the connection is gone."
    taken = int(outcome)
    found = scene.socket(name)
    if found.get("state") == "CLOSED":
        return f"{name} sends {what}. The server has closed: its kernel answers with a reset."
    if taken < len(act.data):
        return (
            f"{name} sends {what}; its kernel takes {taken:,}, and for more there is no room: "
            f"the server does not read.{effect(scene)}"
        )
    text = f"{name} sends {what}{aside(scene)}."
    if found.get("fd") is None and found:
        return f"{text} Nobody has accepted {name}: its bytes wait in the kernel.{effect(scene)}"
    if scene.after["watch"]["kind"] == "io_uring" and not found.get("in_bytes"):
        text += " The kernel puts it into the server's buffer, as it was ordered to."
    return text + effect(scene)


def reads(scene: Scene) -> str:
    """A client reads what has come."""
    name, outcome = scene.moment.actor, scene.moment.outcome
    if outcome == "nothing":
        return f"{name} looks for an answer: nothing has come{aside(scene)}."
    if outcome == "end":
        return f"{name} reads the end of the stream: the server has closed its end{aside(scene)}."
    if scene.moment.outcome in ("ECONNRESET", "EPIPE"):
        return f"{name} reads {outcome}: the server's kernel has reset the connection."
    size = len(outcome)
    text = f": `{shown(outcome, size)}`" if size <= 40 else ""
    made_room = effect(scene, sleeps_on=False)
    return f"{name} reads {several(size, 'byte')}{text}{aside(scene)}.{made_room}"


def shuts_down(scene: Scene) -> str:
    """A client shuts down its sending end."""
    return (
        f"{scene.moment.actor} shuts down its sending end (FIN): it has said all, and can still "
        f"read{aside(scene)}.{effect(scene)}"
    )


def closes(scene: Scene) -> str:
    """A client closes."""
    name = scene.moment.actor
    left = scene.before["sockets"].get(name, {}).get("client_in_bytes")
    if left:
        return (
            f"{name} closes, with {several(left, 'byte')} unread: so its kernel sends a reset, and "
            f"no FIN.{effect(scene)}"
        )
    return f"{name} closes{aside(scene)}. Its kernel sends a FIN.{effect(scene)}"


def resets(scene: Scene) -> str:
    """A client breaks off."""
    return (
        f"{scene.moment.actor} breaks off{aside(scene)}: its kernel sends a reset.{effect(scene)}"
    )


def asks_again(scene: Scene) -> str:
    """A client's kernel repeats its SYN."""
    name = scene.moment.actor
    if name in scene.after["queue"].get("dropped", ()):
        return f"{name}'s kernel asks again, and the queue is still full."
    return f"{name}'s kernel asks again. Now there is room: {name} is connected.{effect(scene)}"


def passes(scene: Scene) -> str:
    """Time passes."""
    act = scene.moment.act
    assert act
    text = f"{act.number:g} second{'s' * (act.number != 1)} pass{'es' * (act.number == 1)}"
    if scene.moment.wakes:
        who = listed([scene.name(key) for key in scene.moment.wakes])
        return f"{text}. That is too long for {who}: the time of the call is over."
    return f"{text}. Nobody's time is over."


def aside(scene: Scene) -> str:
    """What the script adds to an act."""
    act = scene.moment.act
    return f", {act.aside}" if act and act.aside else ""


ACTS: dict[str, Callable[[Scene], str]] = {
    "connects": connects, "sends": sends, "reads": reads, "shuts down": shuts_down,
    "closes": closes, "resets": resets, "asks again": asks_again, "passes": passes,
}  # fmt: skip
