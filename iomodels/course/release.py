"""Make what a learner opens out of the solutions: `make exercises`.

    python -m iomodels.course.release notebooks/solutions notebooks/exercises

A notebook in solutions/ is the one source of an exercise. nbgrader's own steps make the learner's
from it: the solution becomes a stub, the hidden cases and all outputs go, the cells with the cases
are locked. `nbgrader generate_assignment` does the same, and also writes to a teacher's gradebook.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import nbformat


def released(solution: Path) -> str:
    """The learner's notebook, as text. Raises what nbgrader raises for markup that is not right."""
    from nbgrader.preprocessors import (
        CheckCellMetadata,
        ClearHiddenTests,
        ClearOutput,
        ClearSolutions,
        ComputeChecksums,
        LockCells,
    )

    notebook: Any = nbformat.read(solution, as_version=4)  # type: ignore[no-untyped-call]
    steps = (LockCells, ClearSolutions, ClearOutput, CheckCellMetadata, ClearHiddenTests)
    for step in (*steps, ComputeChecksums, CheckCellMetadata):
        notebook, _ = step().preprocess(notebook, {})
    text: str = nbformat.writes(notebook)  # type: ignore[no-untyped-call]
    return text.rstrip("\n") + "\n"


def main(arguments: list[str]) -> int:
    """Write each exercise whose source has changed, and remove those whose source is gone."""
    if len(arguments) != 2 or not Path(arguments[0]).is_dir():
        print("name two folders: of the solutions, and of the exercises", file=sys.stderr)
        return 2
    source, target = map(Path, arguments)
    target.mkdir(exist_ok=True)
    solutions = sorted(source.glob("*.ipynb"))
    for solution in solutions:
        exercise, text = target / solution.name, released(solution)
        if not exercise.exists() or exercise.read_text(encoding="utf-8") != text:
            exercise.write_text(text, encoding="utf-8")
            print(f"{exercise}: written")
    for exercise in target.glob("*.ipynb"):
        if exercise.name not in {solution.name for solution in solutions}:
            exercise.unlink()
            print(f"{exercise}: removed, for it has no solution")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
