"""What is not here of that with which the stored outputs of the lessons were made.

    python -m tests.complete

Prints the names, none where all is there. A lesson says what it does without; so its outputs are
other ones then, and nbval should run the cells and not compare them.
"""

from __future__ import annotations

from importlib.util import find_spec

from iomodels.measure import gopeer
from iomodels.servers import missing


def has_go() -> bool:
    try:
        return bool(gopeer.toolchain())
    except gopeer.NoGo:
        return False


def absent() -> list[str]:
    """The names of the optional parts that are missing."""
    there = {
        "numba": find_spec("numba") is not None,
        "io_uring": not missing("io_uring"),
        "Go": has_go(),
        "websockets": find_spec("websockets") is not None,
    }
    return [name for name, is_there in there.items() if not is_there]


if __name__ == "__main__":
    print(", ".join(absent()))
