"""Pictures of descriptors, from the real process: a table, and what the numbers lead to.

`show_table()` lists descriptors as `iomodels.kernel.descriptors` found them: what each leads to,
its flags, and which numbers share a description.

`show_descriptions()` draws the kernel's three tables. A number is an index in the process's
descriptor table; the entry there points to an open file description, which holds the offset and
the flags; that points to an inode, the thing that is open. Nothing in the picture is assumed: which
numbers share a description comes from kcmp(2), which descriptions share an inode from st_dev and
st_ino. A machine may refuse kcmp: then each number is drawn with a dashed description of its own,
and the picture says why.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from iomodels.kernel.descriptors import Descriptor, Process, descriptors, same_description
from iomodels.views.style import LIGHT, inline, measured, number, output, picture

Names = Mapping[str, int] | Iterable[int]  # numbers, with the names that a program has for them

WITH_OFFSET = {"file", "directory", "memfd"}


def short(target: str) -> str:
    """What a descriptor leads to, without the folders that it is in: "…/notes.txt"."""
    folder, slash, name = target.rpartition("/")
    if not slash or not folder or target.startswith(("/dev/", "/proc/")):
        return target
    return f"…/{name}"


def flags(descriptor: Descriptor) -> list[str]:
    """The names of those of its flags that this course speaks of."""
    named = {
        "O_APPEND": descriptor.append,
        "O_NONBLOCK": descriptor.nonblocking,
        "O_CLOEXEC": descriptor.close_on_exec,
    }
    return [name for name, is_set in named.items() if is_set]


# --- the table ---

TABLE = """
.iomodels table.io-fds { width: 100%; max-width: 860px; margin: 6px 0; table-layout: fixed;
  border-collapse: collapse; font-size: 14px; color: var(--io-ink);
  font-variant-numeric: tabular-nums; }
.iomodels table.io-fds tr { background: none; }
.iomodels table.io-fds th, .iomodels table.io-fds td { padding: 4px 10px;
  vertical-align: baseline; border: 0; border-bottom: 1px solid var(--io-line);
  white-space: normal; overflow-wrap: anywhere; }
.iomodels table.io-fds thead th { font-size: 12px; font-weight: 600; color: var(--io-dim); }
.iomodels table.io-fds tbody th { font-weight: 700; }
.iomodels .io-more summary { padding: 6px 10px; cursor: pointer; color: var(--io-dim); }
.iomodels .io-fds-note { max-width: 860px; margin: 6px 0; color: var(--io-dim); }
"""
COLUMNS = {
    "fd": "7%",
    "kind": "17%",
    "what it leads to": "28%",
    "access": "12%",
    "offset": "9%",
    "flags": "27%",
}


def show_table(descriptors: Sequence[Descriptor], note: str = "", rows: int = 12) -> None:
    """Show descriptors as a table, a row each; after `rows` of them the others fold away.

    `note` stands below; `code` in it is code. Raises ValueError where there is no descriptor.
    """
    output(measured(table(descriptors, note, rows)), "<descriptors>", TABLE)


def table(descriptors: Sequence[Descriptor], note: str = "", rows: int = 12) -> str:
    """The HTML of `show_table()`."""
    if not descriptors:
        raise ValueError("show_table(): there is no descriptor to show")
    shown, folded = descriptors[:rows], descriptors[rows:]
    markup = _rows(shown)
    if folded:
        more = f"{len(folded)} more: {kinds(folded)}"
        markup += f'<details class="io-more"><summary>{more}</summary>{_rows(folded)}</details>'
    return markup + (f'<p class="io-fds-note">{inline(note)}</p>' if note else "")


def kinds(descriptors: Sequence[Descriptor]) -> str:
    """How many of each kind, in words: "17 sockets, 2 epolls, 1 directory"."""
    counted = Counter(descriptor.kind for descriptor in descriptors).most_common()
    return ", ".join(f"{many} {plural(kind, many)}" for kind, many in counted)


def plural(kind: str, many: int) -> str:
    """The kind's name, for so many of it."""
    if many == 1 or kind == "other":
        return kind
    return "directories" if kind == "directory" else f"{kind}s"


def _rows(descriptors: Sequence[Descriptor]) -> str:
    # Aligned in place: a notebook that was opened but not yet run has lost its style sheets.
    def cell(name: str, column: str, words: object, more: str = "") -> str:
        side = "right" if column in ("fd", "offset") else "left"
        return f'<{name} style="text-align: {side}; {more}">{words}</{name.split()[0]}>'

    def row(descriptor: Descriptor) -> str:
        target = html.escape(short(descriptor.target))
        if descriptor.interest:
            watched = ", ".join(str(fd) for fd, _ in descriptor.interest)
            target += f'<br><span class="io-dim">watches {watched}</span>'
        if descriptor.shares:
            others = ", ".join(map(str, descriptor.shares))
            target += f'<br><span class="io-dim">same description as {others}</span>'
        offset = number(descriptor.pos) if descriptor.kind in WITH_OFFSET else "–"
        named = " ".join(flags(descriptor))
        words = (descriptor.fd, descriptor.kind, target, descriptor.access, offset, named)
        names = ('th scope="row"', *["td"] * 5)
        return f"<tr>{''.join(map(cell, names, COLUMNS, words))}</tr>"

    heads = (cell('th scope="col"', name, name, f"width: {w}") for name, w in COLUMNS.items())
    return (
        f'<table class="io-fds"><thead><tr>{"".join(heads)}</tr></thead>'
        f"<tbody>{''.join(map(row, descriptors))}</tbody></table>"
    )


# --- numbers, descriptions, inodes ---


@dataclass(frozen=True)
class Entry:
    """A number of a process, and the description that it leads to, by its place in the list."""

    process: int  # 0 is this one, 1 the child
    name: str  # what the program calls the number, or ""
    descriptor: Descriptor
    description: int


@dataclass(frozen=True)
class Graph:
    """What `show_descriptions()` draws."""

    entries: tuple[Entry, ...]  # by process, then by number
    told: bool  # whether kcmp said who shares a description; if not, each has one of its own

    def descriptions(self) -> list[Descriptor]:
        """A descriptor for each description, to read offset and flags from."""
        return list({entry.description: entry.descriptor for entry in self.entries}.values())

    def sharing(self, description: int) -> list[Entry]:
        """The numbers that lead to a description."""
        return [entry for entry in self.entries if entry.description == description]

    def inodes(self) -> list[list[int]]:
        """The descriptions that lead to an inode, for each inode."""
        grouped: dict[tuple[int, int], list[int]] = {}
        for place, one in enumerate(self.descriptions()):
            grouped.setdefault((one.device, one.inode), []).append(place)
        return list(grouped.values())


def graph(fds: Names, child: tuple[int, Names] | None = None) -> Graph:
    """Look at the real process, and at a child if one is given as (pid, its numbers).

    Raises ValueError for a number that is not open, or where there is none.
    """
    entries: list[Entry] = []
    told = True
    looked_at: list[tuple[Process, Names]] = [("self", fds)]
    if child:
        looked_at.append(child)
    for process, (pid, names) in enumerate(looked_at):
        found = {descriptor.fd: descriptor for descriptor in descriptors(pid)}
        named = names.items() if isinstance(names, Mapping) else [("", fd) for fd in names]
        for name, fd in sorted(named, key=lambda pair: pair[1]):
            if fd not in found:
                whose = "this process" if pid == "self" else f"process {pid}"
                raise ValueError(f"show_descriptions(): {whose} has no descriptor {fd}")
            description = max((entry.description for entry in entries), default=-1) + 1
            for entry in entries:
                same = same_description(entry.descriptor.fd, fd, looked_at[entry.process][0], pid)
                told = told and same is not None
                if same:
                    description = entry.description
                    break
            entries.append(Entry(process, name, found[fd], description))
    if not entries:
        raise ValueError("show_descriptions(): there is no number to show")
    return Graph(tuple(entries), told)


REFUSED = "This machine refuses kcmp(2): which numbers share a description, it does not tell."


def show_descriptions(fds: Names, note: str = "", child: tuple[int, Names] | None = None) -> None:
    """Draw where numbers lead: descriptor table, open file descriptions, inodes.

    `fds` are open descriptors of this process, best with the names that the program has for them:
    `{"log": 5}`. `child` adds those of a second process, as (pid, its numbers). `note` stands
    below; `code` in it is code.
    """
    drawn = graph(fds, child)
    notes = [note] * bool(note) + [REFUSED] * (not drawn.told)
    markup = picture(draw(drawn), describe(drawn))
    markup += "".join(f'<p class="io-fds-note">{inline(text)}</p>' for text in notes)
    output(measured(markup), "<open file descriptions>", TABLE)


def describe(drawn: Graph) -> str:
    """The picture in words."""

    def several(words: Sequence[str]) -> str:
        return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))

    def called(entry: Entry) -> str:
        name = f" ({entry.name})" if entry.name else ""
        return f"fd {entry.descriptor.fd}{name}{' of the child' * entry.process}"

    said = []
    for place, one in enumerate(drawn.descriptions()):
        numbers = drawn.sharing(place)
        leads = "leads" if len(numbers) == 1 else "lead"
        one_open = "one open file description" if drawn.told else "an open file description"
        said.append(
            f"{several([called(entry) for entry in numbers])} {leads} to {one_open}:"
            f" {_offset(one)}, {_status(one)}; and through it to {_thing(one)}."
        )
    for places in drawn.inodes():
        if len(places) > 1:
            thing = _thing(drawn.descriptions()[places[0]])
            said.append(f"{len(places)} descriptions lead to one inode, {thing}.")
    return " ".join([*said, *[REFUSED] * (not drawn.told)])


def _offset(one: Descriptor) -> str:
    return f"offset {number(one.pos)}" if one.kind in WITH_OFFSET else "no offset"


def _status(one: Descriptor) -> str:
    """Access mode and flags: what belongs to the description, and so not O_CLOEXEC."""
    return " · ".join([one.access, *(name for name in flags(one) if name != "O_CLOEXEC")])


def _thing(one: Descriptor) -> str:
    if one.target.startswith("anon_inode:"):
        return "the anonymous inode"
    return f"{one.kind} {short(one.target).removeprefix('…/')}"


# --- the drawing: an SVG, 860 units wide ---

WIDTH = 860
TOP = 74  # below the headings
KERNEL, TABLE_AT, OPEN_AT, INODE_AT = 118, 140, 362, 664  # where the columns begin
TABLE_WIDE, OPEN_WIDE, INODE_WIDE = 142, 230, 178
ROW, GAP, BOX, APART = 34, 18, 60, 18  # heights: an entry, entries left out, a box, between boxes
BETWEEN = 34  # the tables of two processes
ACCENTS = ("a", "b", "run", "c", "sleep")


def draw(drawn: Graph) -> str:
    """The three tables as an <svg>, in the light palette."""
    tables, entry_at, bottom = _tables(drawn)
    opened = drawn.descriptions()
    wanted = [
        _mean([entry_at[entry.process, entry.descriptor.fd] for entry in drawn.sharing(place)])
        for place in range(len(opened))
    ]
    open_at = _apart(wanted, TOP, bottom)
    inodes = drawn.inodes()
    inode_at = _apart([_mean([open_at[p] for p in places]) for places in inodes], TOP, bottom)
    height = max(bottom, *(y + BOX / 2 for y in open_at + inode_at)) + 20

    arrows, boxes = [], []
    for place, one in enumerate(opened):
        colour = LIGHT[ACCENTS[place % len(ACCENTS)]]
        numbers = drawn.sharing(place)
        for entry in numbers:
            start = entry_at[entry.process, entry.descriptor.fd]
            arrows.append(
                _arrow(TABLE_AT + TABLE_WIDE - 14, start, OPEN_AT, open_at[place], colour)
            )
        many = f"{len(numbers)} numbers" if len(numbers) > 1 else ""
        boxes.append(
            _box(OPEN_AT, open_at[place], OPEN_WIDE, colour, _offset(one), _status(one), many,
                 fill=LIGHT["new"] if many else LIGHT["panel"], dashed=not drawn.told)
        )  # fmt: skip
        which = next(n for n, places in enumerate(inodes) if place in places)
        arrows.append(
            _arrow(OPEN_AT + OPEN_WIDE, open_at[place], INODE_AT, inode_at[which], colour)
        )
    for y, places in zip(inode_at, inodes, strict=True):
        first = opened[places[0]]
        anonymous = first.target.startswith("anon_inode:")
        kind = "anonymous" if anonymous else first.kind
        name = "one in the whole kernel" if anonymous else _fitting(short(first.target), 21)
        boxes.append(
            _box(INODE_AT, y, INODE_WIDE, LIGHT["dim"], kind, name, "", fill=LIGHT["panel"])
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}"'
        f' viewBox="0 0 {WIDTH} {height:.0f}" font-family="system-ui, sans-serif" font-size="14"'
        f' fill="{LIGHT["ink"]}">'
        f'<rect x="{KERNEL}" y="0" width="{WIDTH - KERNEL}" height="{height:.0f}" rx="14"'
        f' fill="{LIGHT["kernel"]}"/>'
        + (_heading(0, "program", "its own names") if any(e.name for e in drawn.entries) else "")
        + _heading(TABLE_AT, "descriptor table", "one for each process")
        + _heading(OPEN_AT, "open file descriptions", "offset and flags; made by open")
        + _heading(INODE_AT, "inodes", "the thing itself")
        + "".join(tables + arrows + boxes)
        + "</svg>"
    )


def _tables(drawn: Graph) -> tuple[list[str], dict[tuple[int, int], float], float]:
    """The descriptor tables as SVG, where in it each entry's middle is, and where they end."""
    parts: list[str] = []
    at: dict[tuple[int, int], float] = {}
    y = float(TOP)
    two = any(entry.process for entry in drawn.entries)
    for process in sorted({entry.process for entry in drawn.entries}):
        rows = [entry for entry in drawn.entries if entry.process == process]
        if two:
            y += BETWEEN * process
            whose = ("this process", "the child")[process]
            parts.append(_text(TABLE_AT, y + 8, whose, f'font-size="12" fill="{LIGHT["dim"]}"'))
            y += 18
        top, before = y, -1
        for entry in rows:
            fd = entry.descriptor.fd
            if fd > before + 1:
                y += GAP
                parts.append(_dots(y - GAP / 2))
            elif y > top:
                rule = f"M{TABLE_AT} {y}h{TABLE_WIDE}"
                parts.append(f'<path d="{rule}" stroke="{LIGHT["line"]}"/>')
            at[process, fd] = y + ROW / 2
            parts.append(_row(entry, y + ROW / 2))
            y, before = y + ROW, fd
        parts.append(_dots(y + GAP / 2))
        y += GAP
        frame = f'x="{TABLE_AT}" y="{top}" width="{TABLE_WIDE}" height="{y - top}" rx="8"'
        paper = f'<rect {frame} fill="{LIGHT["panel"]}" stroke="{LIGHT["dim"]}"/>'
        parts.insert(0, paper)
    return parts, at, y


def _row(entry: Entry, y: float) -> str:
    """An entry of the descriptor table, and the program's name for its number."""
    fd = entry.descriptor.fd
    parts = [_text(TABLE_AT + 12, y + 5, str(fd), 'font-weight="700" font-size="15"')]
    if entry.descriptor.close_on_exec:
        small = f'font-size="11" fill="{LIGHT["dim"]}"'
        parts.append(_text(TABLE_AT + 46, y + 4, "O_CLOEXEC", small))
    parts.append(
        f'<circle cx="{TABLE_AT + TABLE_WIDE - 14}" cy="{y}" r="4" fill="{LIGHT["dim"]}"/>'
    )
    if entry.name:
        mono = 'font-family="ui-monospace, monospace" text-anchor="end"'
        parts.append(_text(KERNEL - 30, y + 5, _fitting(entry.name, 10), mono))
        parts.append(_arrow(KERNEL - 22, y, TABLE_AT, y, LIGHT["dim"]))
    return "".join(parts)


def _box(
    x: float, y: float, wide: float, colour: str, title: str, below: str, corner: str, fill: str,
    dashed: bool = False,
) -> str:  # fmt: skip
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    return (
        f'<rect x="{x}" y="{y - BOX / 2}" width="{wide}" height="{BOX}" rx="10" fill="{fill}"'
        f' stroke="{colour}" stroke-width="1.8"{dash}/>'
        + _text(x + 14, y - 5, title, 'font-weight="700" font-size="15"')
        + _text(x + 14, y + 17, below, 'font-size="13"')
        + _text(x + wide - 12, y - 6, corner, 'font-size="12" text-anchor="end"')
    )


def _heading(x: float, title: str, below: str) -> str:
    small = f'font-size="12" fill="{LIGHT["dim"]}"'
    return _text(x, 30, title, 'font-weight="700"') + _text(x, 48, below, small)


def _arrow(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    """A line that leaves and arrives level, with a head at its end."""
    bend = (x2 - x1) * 0.5
    end = x2 - 8
    return (
        f'<path d="M{x1} {y1:.1f}C{x1 + bend} {y1:.1f} {x2 - bend} {y2:.1f} {end} {y2:.1f}"'
        f' fill="none" stroke="{colour}" stroke-width="2"/>'
        f'<path d="M{x2} {y2:.1f}l-10 -5v10z" fill="{colour}"/>'
    )


def _dots(y: float) -> str:
    """Entries that are left out."""
    return _text(TABLE_AT + 16, y + 4, "⋮", f'fill="{LIGHT["dim"]}" text-anchor="middle"')


def _text(x: float, y: float, words: str, more: str = "") -> str:
    return f'<text x="{x}" y="{y:.1f}" {more}>{html.escape(words)}</text>' if words else ""


def _fitting(words: str, most: int) -> str:
    """The end of a long name, which tells more than its beginning."""
    return words if len(words) <= most else f"…{words[1 - most :].lstrip('…/')}"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _apart(wanted: Sequence[float], top: float, bottom: float) -> list[float]:
    """Where boxes stand that want to be at these heights and must not overlap: their middles."""
    step = BOX + APART
    order = sorted(range(len(wanted)), key=lambda place: wanted[place])
    least = top + BOX / 2
    placed: list[float] = []
    for place in order:
        placed.append(max(wanted[place], placed[-1] + step if placed else least))
    # Pushed down past the end: up again as far as there is room, the last one first.
    limit = max(bottom - BOX / 2, least + step * (len(placed) - 1))
    for n in reversed(range(len(placed))):
        placed[n] = min(placed[n], limit)
        limit = placed[n] - step
    return [placed[order.index(place)] for place in range(len(wanted))]
