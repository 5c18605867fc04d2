"""Every Python block in the documentation is a file under docs/snippets, where the type checker sees it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_blocks_are_checked_snippets(page: Path) -> None:
    snippets = {path.read_text() for path in (ROOT / "docs" / "snippets").glob("*.py")}
    for block in BLOCK.findall(page.read_text()):
        assert block in snippets, f"not a file of docs/snippets:\n{block}"


def test_every_snippet_is_shown_somewhere() -> None:
    shown = {block for page in PAGES for block in BLOCK.findall(page.read_text())}
    unused = [
        path.name for path in (ROOT / "docs" / "snippets").glob("*.py") if path.read_text() not in shown
    ]
    assert unused == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = BLOCK.sub("", page.read_text())
    missing = [link for link in LINK.findall(text) if not (page.parent / link).exists()]
    assert missing == []
