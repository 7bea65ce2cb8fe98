"""The scoreboard: one table of counters in memory that all processes share.

Each pair of processes has a row. Its server writes some columns and its clients the others, so no
cell has two writers and nothing is locked. The controller adds up the columns whenever it likes,
which costs the shards nothing: a message for each of a million connections would. (Apache's
scoreboard is the same idea.) The memory is mapped before the first fork(2), and is shared and not
copied because it is mapped MAP_SHARED (man 2 mmap).
"""

from __future__ import annotations

import mmap

# What the clients write: connections that were upgraded; those that heard the message as it was
# sent; those that did not; echoes that were right.
CONNECTED, HEARD, LOST, ECHOED = range(4)
# What the server writes: connections that it upgraded, and that ended; messages that came;
# connections to which it published one.
OPENED, CLOSED, CAME, PUBLISHED = range(4, 8)
# What the controller writes: not 0 asks the clients to stop connecting.
STOP = 8

ROW = 16  # counters, two cache lines: two CPUs that write the same line hold each other up


class Scores:
    """The table. `row(n)` is a view of eight-byte integers, good in every forked process."""

    def __init__(self, rows: int) -> None:
        self.cells = memoryview(mmap.mmap(-1, rows * ROW * 8)).cast("q")
        self.rows, self.stopped = rows, False

    def row(self, number: int) -> memoryview:
        return self.cells[number * ROW : (number + 1) * ROW]

    def total(self, column: int) -> int:
        """The sum of a column."""
        return sum(self.cells[column::ROW].tolist())

    def stop(self) -> None:
        """Ask all clients to stop connecting; they finish what is under way."""
        self.stopped = True
        for number in range(self.rows):
            self.row(number)[STOP] = 1
