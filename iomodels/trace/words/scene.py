"""A step, and all that its words may come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from iomodels.trace.moments import Moment

__all__ = ["Scene"]


@dataclass
class Scene:
    """A step, and all that its words may come from."""

    moment: Moment
    before: Mapping[str, Any]
    names: Mapping[str, str]

    @property
    def after(self) -> Mapping[str, Any]:
        return self.moment.state

    @property
    def told(self) -> Mapping[str, Any]:
        return self.moment.told

    @property
    def me(self) -> str:
        """The actor as a sentence begins with it: "The server", "The thread for A"."""
        return self.name(self.moment.actor, "The")

    def name(self, key: str, article: str = "the") -> str:
        """An actor by name: "A", "the server", "worker 1"."""
        name = self.names.get(key, key)
        if name[-1:].isdigit():
            return name.capitalize() if article == "The" else name
        return name if name[:1].isupper() else f"{article} {name}"

    @property
    def call(self) -> str:
        return f"`{self.told['name']}({self.told['args']})`"

    @property
    def sleeps(self) -> bool:
        return self.moment.kind == "sleep"

    @property
    def error(self) -> str:
        return str(self.told.get("error", ""))

    @property
    def pid(self) -> int:
        return int(self.after["actors"].get(self.moment.actor, {}).get("pid", 0))

    def client(self, fd: int) -> str | None:
        """The client behind a descriptor; before the step, for it may have closed it."""
        found: str | None = self.entry(fd, "client")
        return found

    def entry(self, fd: int, key: str) -> Any:
        for state in (self.after, self.before):
            for found in state.get("fds", ()):
                if found["fd"] == fd and found.get("pid", 0) == self.pid and found[key]:
                    return found[key]
        return None

    def whose(self, fd: int) -> str:
        """A descriptor in words: "the listener", "A's connection (5)"."""
        if name := self.client(fd):
            return f"{name}'s connection"
        what = self.entry(fd, "what")
        listeners = [f for f in self.before["fds"] if f["what"] == "listener"]
        several = len({f["fd"] for f in listeners}) > 1
        known = {
            "listener": f"listener {fd}" if several else "the listener",
            "socket": f"a socket pair to itself ({fd})",
        }
        return known.get(what, f"descriptor {fd}")

    def socket(self, name: str | None) -> Mapping[str, Any]:
        """The server's end of a client's connection."""
        found: Mapping[str, Any] = self.after["sockets"].get(name, {})
        return found
