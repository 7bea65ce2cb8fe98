"""Numbers and bytes in words."""

from __future__ import annotations

import select
from collections.abc import Sequence

EVENTS = {
    1: "IN", 2: "PRI", 4: "OUT", 8: "ERR", 16: "HUP", 32: "NVAL", 0x2000: "RDHUP",
    1 << 28: "EXCLUSIVE", 1 << 30: "ONESHOT", 1 << 31: "ET",
}  # fmt: skip


def events_in_words(mask: int) -> str:
    """What is asked for: IN|OUT for 5. ERR and HUP, which are reported always, are left out."""
    return found_in_words(mask & ~(select.POLLERR | select.POLLHUP) or mask)


def found_in_words(mask: int) -> str:
    """What is reported: IN|HUP for 17."""
    return "|".join(name for bit, name in EVENTS.items() if mask & bit) or "0"


def shown(text: str, size: int) -> str:
    """The first bytes of a buffer as one reads them."""
    letters = "".join(escaped(c) for c in text[:40])
    return f"{letters[:40]}…" if size > 40 or len(letters) > 40 else letters


def escaped(letter: str) -> str:
    """A letter as Python writes it in bytes, unless it can be read."""
    return (
        letter
        if letter.isascii() and letter.isprintable()
        else repr(letter.encode("latin-1"))[2:-1]
    )


def several(number: int, what: str) -> str:
    """1 byte, 2 bytes."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def listed(names: Sequence[str], word: str = "and") -> str:
    """A, B and C."""
    *others, last = names or [""]
    return f"{', '.join(others)} {word} {last}" if others else last


def seconds(span: float) -> str:
    """A timeout: "0.1 s"; 0 does not wait."""
    return "0" if span == 0 else f"{span:g} s"
