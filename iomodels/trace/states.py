"""The state of everything at one moment, in the form that the recording has (recording.py)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from iomodels.trace.clients import Client
from iomodels.trace.looking import SHOWN
from iomodels.trace.plain import events_in_words, shown

if TYPE_CHECKING:
    from iomodels.trace.processes import Process
    from iomodels.trace.recorder import Recorder


class Stranger(Exception):
    """Somebody has connected who is not of the scenario."""


def compose(recorder: Recorder) -> dict[str, Any]:
    """Put together what the processes see, and what the clients know."""
    ports = {client.port: client for client in recorder.clients.values()}
    fds, seen = descriptors(recorder, ports)
    recorder.accepted |= seen.keys()
    sockets = {}
    for name, client in recorder.clients.items():
        if client.connected and (found := end_of(client, seen.get(name), recorder)):
            sockets[name] = found
    return {
        "actors": actors(recorder),
        "fds": fds,
        "queue": queue(recorder),
        "sockets": sockets,
        "watch": watches(recorder),
        "counters": recorder.counters | {"served": len(served(recorder, sockets))},
        "clock": round(recorder.now, 3),
    }


def descriptors(
    recorder: Recorder, ports: dict[int, Client]
) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """The fd tables of all processes, and by client what is seen of its connection."""
    table: list[dict[str, Any]] = []
    seen: dict[str, dict[str, Any]] = {}
    several = len(recorder.processes) > 1
    for process in recorder.alive():
        for fd, what, flags in process.seen["fds"]:
            entry: dict[str, Any] = {"fd": fd, "what": what, "client": None}
            found = process.seen["sockets"].get(str(fd))
            if found and found["port"] not in ports:
                raise Stranger
            if found:
                entry["client"] = ports[found["port"]].name
                seen.setdefault(entry["client"], {"fd": fd, **found})
            if flags & os.O_NONBLOCK and what in ("listener", "connection"):
                entry["flags"] = "nonblocking"
            if several:
                entry["pid"] = process.index
            table.append(entry)
    return table, seen


def end_of(
    client: Client, seen: dict[str, Any] | None, recorder: Recorder
) -> dict[str, Any] | None:
    """The server's end of one connection, and what has come to the client's.

    A connection that nobody has accepted has no descriptor, and nobody who could look at it. What
    it holds is what the client has sent and the server's kernel has acknowledged.
    """
    unread, text = client.unread()
    theirs = {"client_in_bytes": unread, "client_in": shown(text, unread)} if unread else {}
    if seen:
        state = seen["state"]
        if state == "CLOSE" and client.reset:
            state = "RESET"
        found = {
            "fd": seen["fd"],
            "in": shown(seen["in"], seen["in_bytes"]) if seen["in_bytes"] else None,
            "in_bytes": seen["in_bytes"],
            "out_bytes": seen["out_bytes"],
            "state": state,
        }
        if recorder.scenario.settings.send_buffer:
            found["out_room"] = seen["out_room"]
        if recorder.scenario.settings.receive_buffer:
            found["in_room"] = seen["in_room"]
        return found | theirs
    if client.name in recorder.accepted:
        if not client.here:
            return None
        return {"fd": None, "in": None, "in_bytes": 0, "out_bytes": 0, "state": "CLOSED"} | theirs
    received = len(client.sent) - client.unacknowledged()
    return {
        "fd": None,
        "in": shown(client.sent[: SHOWN + 1].decode("latin-1"), received) if received else None,
        "in_bytes": received,
        "out_bytes": 0,
        "state": "RESET" if client.reset else "CLOSE_WAIT" if client.shut else "ESTABLISHED",
    } | theirs


def queue(recorder: Recorder) -> dict[str, Any]:
    """The accept queue, and who waits in it. Several listeners on one port have one each.

    The kernel tells how many wait. Who they are follows from the order in which they came, and the
    two must agree. All listeners are open in the first process.
    """
    listeners = recorder.processes[0].seen["listeners"].values()
    found: list[dict[str, Any]] = []
    for index, (waiting, backlog) in enumerate(listeners):
        names = [
            name
            for number, (name, client) in enumerate(recorder.clients.items())
            if number % len(listeners) == index
            and name not in recorder.accepted
            and client.connected
        ]
        if len(names) != waiting:
            raise Stranger
        found.append({"waiting": names, "backlog": backlog})
    dropped = recorder.dropped()
    return {
        "waiting": [name for each in found for name in each["waiting"]],
        "backlog": max((each["backlog"] for each in found), default=0),
        **({"dropped": dropped} if dropped else {}),
        **({"all": found} if len(found) > 1 else {}),
    }


def actors(recorder: Recorder) -> dict[str, Any]:
    """Who runs, who sleeps, and what each client did last."""
    found = {key: dict(actor) for key, actor in recorder.actors.items()}
    if len(recorder.processes) == 1:
        for actor in found.values():
            actor.pop("pid", None)
    for act in recorder.scenario.acts:
        if act.actor == "clock":
            continue
        client = recorder.clients.get(act.actor)
        if client is None:
            state = "none"
        elif not client.here:
            state = "left"
        else:
            state = "connected" if client.connected else "knocking"
        found[act.actor] = {"state": state}
        if did := recorder.done.get(act.actor):
            found[act.actor]["did"] = did
    return found


def watches(recorder: Recorder) -> dict[str, Any]:
    """What is watched by the process that acted last; with several, also what each watches."""
    found = {process.index: watch(process) for process in recorder.alive()}
    own = found.get(recorder.focus) or found[0]
    all_of_them = [{"pid": index, **each} for index, each in found.items() if each["kind"]]
    return own | ({"all": all_of_them} if len(all_of_them) > 1 else {})


def watch(process: Process) -> dict[str, Any]:
    """What one process watches."""
    seen = process.seen["watch"]
    interest = [
        {"fd": fd, "events": events_in_words(mask), **({"ghost": True} if any(ghost) else {})}
        for fd, mask, *ghost in seen["interest"]
    ]
    return {**seen, "interest": interest}


def served(recorder: Recorder, sockets: dict[str, Any]) -> set[str]:
    """The clients that an answer has come to."""
    recorder.answered |= {name for name, found in sockets.items() if found.get("client_in_bytes")}
    return recorder.answered
