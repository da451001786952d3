"""docs/reference/routing.md is what the readers' own tables say, field by field."""

from __future__ import annotations

import os
from pathlib import Path

from meshregistry.rules import RULE_KINDS

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "routing.md"
MARK = "<!-- From here on written from the tables of the readers: REWRITE_REFERENCE=1. -->\n"


def tables() -> str:
    """A section for each kind, a row for each field."""
    parts = []
    for kind in RULE_KINDS:
        versions = ", ".join(f"`{kind.group}/{version}`" for version in kind.versions)
        rows = "".join(
            f"| `{note.path}` | {note.standing.value} | {note.note} |\n" for note in kind.fields
        )
        parts.append(
            f"\n## {kind.kind}\n\n{versions}\n\n| Field | What becomes of it | Note |\n"
            f"| --- | --- | --- |\n{rows}"
        )
    return "".join(parts)


def test_the_page_is_what_the_tables_say() -> None:
    """A field that is read otherwise than the page says would be a lie."""
    head, mark, rest = PAGE.read_text(encoding="utf-8").partition(MARK)
    if os.environ.get("REWRITE_REFERENCE") == "1":
        rest = tables()
        PAGE.write_text(head + MARK + rest, encoding="utf-8")
    assert mark == MARK
    assert rest == tables()
