"""Words for the calls on one descriptor, and for those that make and end processes."""

from __future__ import annotations

from collections.abc import Callable

from iomodels.servers.select import FD_SETSIZE
from iomodels.trace.plain import listed, several, shown
from iomodels.trace.words.scene import Scene


def accept(scene: Scene) -> str:
    """accept(2)."""
    queue = scene.after["queue"]["waiting"]
    if scene.sleeps:
        return f"Nobody waits to be accepted. {scene.me} sleeps in {scene.call}."
    if scene.error == "EAGAIN":
        return "Nobody waits in the accept queue: `accept` says EAGAIN."
    if scene.error:
        return f"`accept` fails with {scene.error}."
    fd = int(scene.told["result"])
    name = scene.client(fd)
    text = f"{scene.me} takes {name} out of the accept queue. A new descriptor, {fd}, is {name}'s."
    if size := scene.socket(name).get("in_bytes"):
        text += f" What {name} has sent, {several(size, 'byte')}, is there already."
    if scene.after["watch"]["kind"] == "select" and fd >= FD_SETSIZE:
        text += f" The sets of `select` end at {FD_SETSIZE - 1}: it cannot be watched."
    if queue:
        text += f" {listed(queue)} still {'waits' if len(queue) == 1 else 'wait'}."
    return text


def readv(scene: Scene) -> str:
    """readv(2)."""
    fd = scene.told["fd"]
    name = scene.client(fd) or f"descriptor {fd}"
    if scene.sleeps:
        return reading_sleeps(scene, name)
    if scene.error == "EAGAIN":
        if scene.told.get("timed_out"):
            return f"The time for {name} is over: the read returns with EAGAIN, and without a byte."
        more = "more " if name in scene.moment.sent else ""
        return f"There is nothing {more}from {name} to read: EAGAIN."
    if scene.error == "ECONNRESET":
        return f"{name} has reset the connection: the read fails with ECONNRESET. Nobody is there."
    if scene.error:
        return f"The read from {name} fails with {scene.error}."
    size = scene.told["moved"]
    if not size:
        return f"0 bytes: the end of {name}'s stream. {name} will send no more."
    text = f"{scene.me} reads {several(size, 'byte')} from {name}{quoted(scene)}."
    if left := scene.socket(name).get("in_bytes"):
        text += f" {several(left, 'byte')} {'is' if left == 1 else 'are'} left in the kernel."
    return text


def reading_sleeps(scene: Scene, name: str) -> str:
    """Asleep in readv: what has come so far, and who waits meanwhile."""
    text = f"{scene.me} sleeps in {scene.call}"
    if scene.socket(name).get("state") in ("FIN_WAIT1", "FIN_WAIT2"):
        text += f": it has said goodbye, and waits for {name} to close."
    elif sent := scene.moment.sent.get(name):
        text += f": {name} has sent {sent}, and nothing more has come."
    else:
        text += f": {name} has sent nothing."
    return text + unheard(scene)


def unheard(scene: Scene) -> str:
    """Those who wait in the accept queue while the server sleeps on somebody else."""
    waiting = scene.after["queue"]["waiting"]
    if not waiting:
        return ""
    with_bytes = [n for n in waiting if scene.socket(n).get("in_bytes")]
    if len(waiting) == 1 and with_bytes:
        text = scene.socket(waiting[0])["in"]
        return (
            f" {waiting[0]} is connected and has sent `{text}`, yet nobody has accepted it: "
            "its bytes wait in the kernel."
        )
    are = "is" if len(waiting) == 1 else "are"
    it = "it" if len(waiting) == 1 else "them"
    return f" {listed(waiting)} {are} connected, and nobody has accepted {it}."


def write(scene: Scene) -> str:
    """write(2) and writev(2)."""
    fd = scene.told["fd"]
    name = scene.client(fd) or f"descriptor {fd}"
    asked = int(scene.told["args"].split(", ")[1])
    if scene.sleeps:
        return writing_sleeps(scene, name, asked)
    if scene.error == "EAGAIN":
        return f"There is no room for more to {name}: EAGAIN. {full(scene, name)}"
    if scene.error:
        return f"The write to {name} fails with {scene.error}: {name} is gone."
    size = scene.told["moved"]
    if size < asked:
        return (
            f"The kernel takes {size:,} of the {asked:,} bytes for {name}; "
            f"for more there is no room. {full(scene, name)}"
        )
    text = f"{scene.me} sends {name} {several(size, 'byte')}{quoted(scene)}."
    found = scene.socket(name)
    if found.get("out_bytes"):
        return f"{text} {full(scene, name)}"
    if found.get("client_in_bytes"):
        text += f" {'It lies' if size == 1 else 'They lie'} in {name}'s receive buffer."
    return text


def writing_sleeps(scene: Scene, name: str, asked: int) -> str:
    """Asleep in a write: how full the buffers are."""
    return (
        f"{scene.me} sleeps in {scene.call}: {name} does not read, and there is no room for "
        f"{asked:,} bytes. {full(scene, name)}{unheard(scene)}"
    )


def full(scene: Scene, name: str) -> str:
    """How full the buffers on the way to a client are."""
    found = scene.socket(name)
    return (
        f"{found.get('out_bytes', 0):,} bytes wait in the send buffer, "
        f"{found.get('client_in_bytes', 0):,} in {name}'s receive buffer."
    )


def quoted(scene: Scene) -> str:
    """What went over, if it is short."""
    size, data = scene.told["moved"], scene.told["data"]
    return f": `{shown(data, size)}`" if size <= 40 else f", `{shown(data[:16], size)}`"


def close(scene: Scene) -> str:
    """close(2)."""
    fd = scene.told["fd"]
    name = scene.client(fd)
    if scene.error:
        return f"`close({fd})` fails with {scene.error}."
    if not name:
        return f"{scene.me} closes {scene.whose(fd)}: the number is free."
    unread = scene.before["sockets"].get(name, {}).get("in_bytes")
    text = f"{scene.me} closes {name}'s connection. The number {fd} is free."
    holders = [f for f in scene.after["fds"] if f["client"] == name]
    if holders:
        return f"{text} The connection stays: somebody else has it open."
    if unread:
        text += f" {several(unread, 'byte')} had not been read, so {name} gets a reset."
    return text


def shutdown(scene: Scene) -> str:
    """shutdown(2)."""
    name = scene.client(scene.told["fd"])
    if scene.error:
        return f"`shutdown` fails with {scene.error}: {name} is gone."
    if "SHUT_WR" in scene.told["args"]:
        return f"{scene.me} tells {name} that it has said all (FIN), and waits for {name} to close."
    return f"{scene.me} shuts down {scene.whose(scene.told['fd'])}: {scene.call}."


def fcntl(scene: Scene) -> str:
    """fcntl(2): O_NONBLOCK and O_ASYNC."""
    whose, args = scene.whose(scene.told["fd"]), scene.told["args"]
    if "no O_ASYNC" in args:
        return f"No signals any more for {whose}."
    if "O_ASYNC" in args:
        return (
            f"From now on the kernel sends SIGRTMIN, a signal, when something happens to {whose}."
        )
    if "O_NONBLOCK" in args:
        return f"{scene.me} makes {whose} non-blocking: what would sleep says EAGAIN instead."
    return f"{scene.me} makes {whose} blocking: a call on it may sleep."


def setsockopt(scene: Scene) -> str:
    """setsockopt(2): timeouts and SO_LINGER."""
    _, option, span = scene.told["args"].split(", ")
    name = scene.client(scene.told["fd"])
    if option == "SO_LINGER":
        return (
            f"When this connection is closed, what {name} has not taken is thrown away ({option})."
        )
    verb = "read from" if option == "SO_RCVTIMEO" else "write to"
    return f"From now on a {verb} {name} sleeps for {span} at most ({option})."


def getsockopt(scene: Scene) -> str:
    """getsockopt(2): TCP_INFO."""
    name = scene.client(scene.told["fd"])
    if scene.told["result"] == "True":
        return (
            f"{scene.me} asks whether {name} has left: no, it was our own end that was shut down."
        )
    return f"{scene.me} asks whether {name} has left (TCP_INFO): it has."


def dup(scene: Scene) -> str:
    """dup(2)."""
    fd, new = scene.told["fd"], scene.told["result"]
    return (
        f"A second number, {new}, for {scene.whose(fd)}: both name the same open file description."
    )


def fork(scene: Scene) -> str:
    """fork(2), in the parent and in the child."""
    if scene.moment.kind == "wake":
        return (
            f"{scene.me} begins, as a copy of its parent: the same memory, the same descriptors. "
            "`fork` returns 0."
        )
    newest = [key for key in scene.after["actors"] if key in scene.names][-1]
    return f"{scene.me} forks: {scene.name(newest)} is ready to run."


def waitpid(scene: Scene) -> str:
    """waitpid(2)."""
    if scene.told["result"] == "0":
        return f"{scene.me} asks for the status of a child, which has not ended."
    return f"{scene.me} takes the status of a child that has ended: no zombie is left of it."


def ended(scene: Scene) -> str:
    """_exit(2)."""
    return f"{scene.me} ends; the kernel closes what it had open."


def anything(scene: Scene) -> str:
    """A call without words of its own."""
    if scene.sleeps:
        return f"{scene.me} sleeps in {scene.call}."
    came = scene.error or scene.told.get("result")
    return f"{scene.me} calls {scene.call}" + (f", which says {came}." if came else ".")


CALLS: dict[str, Callable[[Scene], str]] = {
    "accept": accept, "readv": readv, "writev": write, "write": write, "close": close,
    "shutdown": shutdown, "fcntl": fcntl, "setsockopt": setsockopt, "getsockopt": getsockopt,
    "dup": dup, "fork": fork, "waitpid": waitpid, "_exit": ended,
}  # fmt: skip
