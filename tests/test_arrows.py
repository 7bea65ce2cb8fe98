"""The parts of the package know each other one way only, and no two in a circle."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "iomodels"

# Who may know whom, beside itself.
MAY_KNOW: dict[str, set[str]] = {
    "kernel": set(),
    "websocket": set(),
    "apps": {"websocket"},
    "servers": {"kernel", "apps"},
    "measure": {"kernel", "apps", "servers", "websocket"},
    "trace": {"kernel", "apps", "servers", "websocket", "measure"},
    "views": {"kernel", "apps", "servers", "websocket", "measure", "trace"},
    "course": {"kernel", "apps", "servers", "websocket", "measure", "trace", "views"},
    "commands": {"kernel", "apps", "servers", "websocket", "measure", "trace", "views"},
}


def known(path: Path) -> set[str]:
    """The modules of the package that a file imports, wherever in it; not those for types only."""
    found = set()
    tree = ast.parse(path.read_text())
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("iomodels"):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if is_module(name) else str(node.module) for name in names}
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("iomodels.")}
    return found


def is_module(name: str) -> bool:
    path = PACKAGE.parent.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def modules() -> dict[str, set[str]]:
    graph = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        graph[name] = known(path)
    return graph


def test_arrows_run_one_way() -> None:
    wrong = [
        f"{name} -> {other}"
        for name, others in modules().items()
        for other in others
        if name.count(".") >= 1 and other.count(".") >= 1
        and (part := name.split(".")[1]) in MAY_KNOW
        and (its := other.split(".")[1]) != part
        and its not in MAY_KNOW[part]
    ]  # fmt: skip
    assert wrong == []


def test_there_are_no_circles() -> None:
    graph = modules()
    assert len(graph) > 40
    order = list(TopologicalSorter({n: o - {n} for n, o in graph.items()}).static_order())
    assert order.index("iomodels.kernel") < order.index("iomodels.servers.epoll")
