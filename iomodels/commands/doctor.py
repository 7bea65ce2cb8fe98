"""iomodels doctor: what this machine can do."""

from __future__ import annotations

import click

from iomodels.commands.common import as_json, print_json, show, table


@click.command()
@as_json
def doctor(as_json: bool) -> None:
    """Say what this machine can do, which lessons run in full, and what to change."""
    from dataclasses import asdict

    from iomodels.measure.machine import examine, lessons

    findings = examine()
    ready = lessons(findings)
    if as_json:
        print_json(
            {"findings": [asdict(f) for f in findings], "lessons": [asdict(r) for r in ready]}
        )
        return
    about = table("This machine", "", "", "what to change")
    for finding in findings:
        about.add_row(
            finding.name, SIGNS[finding.state], finding.value, finding.advice.replace("`", "")
        )
    course = table("Lessons", "", "why not in full")
    for lesson in ready:
        why = "; ".join(finding.name for finding in lesson.because)
        course.add_row(f"{lesson.number:02} {lesson.title}", SIGNS[lesson.state], why)
    show(about, course)


SIGNS = {"full": "✓", "less": "~ less", "missing": "✗ missing"}
