"""A recording as plain text: a line for each step, for a terminal."""

from __future__ import annotations

from typing import Any

from iomodels.trace.plain import several
from iomodels.trace.recording import Recording

SLEEPS, WAKES = "zz", "! "  # before a call that sleeps, and before the same one when it returns
WIDEST = 56  # characters of what was done


def text(recording: Recording) -> str:
    """Return the recording as text: who did what, what came of it, and what that changed."""
    names = {actor["id"]: actor["name"] for actor in recording.actors}
    rows = []
    before: dict[str, Any] = {}
    for number, (step, state) in enumerate(zip(recording.steps, recording.states(), strict=True)):
        times = f" ({step['times']} times)" if "times" in step else ""
        did = f"{mark(step)} {step.get('text', 'has a socket that listens')}{times}"
        rows.append((str(number), names[step["actor"]], did, "; ".join(changed(before, state))))
        before = state
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    widths[2] = min(widths[2], WIDEST)
    lines = [
        f"{number:>{widths[0]}}  {who:<{widths[1]}}  {did:<{widths[2]}}  {what}".rstrip()
        for number, who, did, what in rows
    ]
    head = [f"{recording.title}: {recording.model}, {recording.idea}", recording.about, ""]
    return "\n".join([*head, *lines, "", counted(before["counters"]), ""])


def mark(step: dict[str, Any]) -> str:
    """Two characters that say whether a call sleeps, or is back."""
    return {"sleep": SLEEPS, "wake": WAKES}.get(step["kind"], "  ")


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What a step has changed in the kernel, in short."""
    found = []
    if before and before["queue"] != after["queue"]:
        waiting, dropped = after["queue"]["waiting"], after["queue"].get("dropped")
        found.append(f"queue: {', '.join(waiting) or 'empty'}")
        found += [f"dropped: {', '.join(dropped)}"] if dropped else []
    old = before.get("sockets", {})
    for name in sorted({*old, *after["sockets"]}):
        if changes := socket_changes(old.get(name), after["sockets"].get(name)):
            found.append(f"{name}: {', '.join(changes)}")
    return found + watch_changes(before.get("watch", {}), after["watch"])


def socket_changes(before: dict[str, Any] | None, after: dict[str, Any] | None) -> list[str]:
    """What has changed for one client's connection."""
    if after is None:
        return ["gone"]
    old = before or {}
    found = []
    if after["fd"] is not None and after["fd"] != old.get("fd"):
        found.append(f"fd {after['fd']}")
    if after["state"] != old.get("state", "ESTABLISHED"):
        found.append(after["state"])
    if after["in_bytes"] != old.get("in_bytes", 0):
        seen = f" {after['in']}" if after["in"] else ""
        found.append(f"{several(after['in_bytes'], 'byte')} unread{seen}")
    if after["out_bytes"] != old.get("out_bytes", 0):
        found.append(f"{several(after['out_bytes'], 'byte')} unsent")
    if (size := after.get("client_in_bytes", 0)) != old.get("client_in_bytes", 0):
        found.append(
            f"{several(size, 'byte')} at the client" if size else "the client has read all"
        )
    return found


def watch_changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What has changed in what is watched, and who of it is ready."""
    found = []
    interest = [
        f"{entry['fd']} {entry['events']}{' (closed)' * ('ghost' in entry)}"
        for entry in after["interest"]
    ]
    if after["interest"] != before.get("interest", []):
        found.append(f"watched: {', '.join(interest) or 'nothing'}")
    if after["ready"] != before.get("ready", []):
        found.append(f"ready: {', '.join(map(str, after['ready'])) or 'none'}")
    if after.get("queue") and after["queue"] != before.get("queue"):
        found.append(f"{'orders' if after['kind'] == 'io_uring' else 'pending'}: "
                     f"{', '.join(after['queue'])}")  # fmt: skip
    return found


def counted(counters: dict[str, int]) -> str:
    """The counters at the end, in a line."""
    return (
        f"{several(counters['calls'], 'call')}, {several(counters['sleeps'], 'sleep')}, "
        f"{several(counters['looked'], 'descriptor')} looked at, "
        f"{several(counters['copied'], 'byte')} copied, "
        f"{several(counters['served'], 'client')} served"
    )
