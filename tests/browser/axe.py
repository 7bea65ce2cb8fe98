"""What axe, an accessibility checker, finds wrong with a page, or with a part of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

AXE = Path(__file__).parent.parent / "node/node_modules/axe-core/axe.min.js"


def serious_faults(page: Page, of: object = None) -> list[str]:
    """The serious faults; `of` is axe's context, such as {"exclude": [".not-ours"]}.

    Skips the test where axe is not installed.
    """
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: npm ci --prefix tests/node")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    run = "(of) => axe.run(of ?? document, { resultTypes: ['violations'] })"
    found: Any = page.evaluate(run, of)
    assert len(found["passes"]) > 5, "axe has looked at nothing"
    return [
        f"{one['id']}: {one['help']}: {[node['target'] for node in one['nodes']][:4]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]
