"""docs/architecture.md section 5 lists every package, and nothing that is not there."""

from __future__ import annotations

import re
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
# Each level of the tree is drawn four characters wide.
LEVEL = 4
LINE = re.compile(r"^([│ ]*)[├└]── (.+)$")
NAME = re.compile(r"[\w*./]+(?:/|\.\w+)|Makefile")


def listed() -> Iterator[str]:
    """Every path of the tree, relative to its root; folders with a slash at the end."""
    section = PAGE.read_text(encoding="utf-8").split("## 5. Files", 1)[1]
    parents: list[str] = []
    for line in section.split("```", 2)[1].splitlines():
        if (found := LINE.match(line)) is not None:
            parents[len(found[1]) // LEVEL :] = []
            names = list(takewhile(NAME.fullmatch, found[2].split()))
            assert names, line
            yield from ("".join([*parents, name]) for name in names)
            parents.append(names[0])


PATHS = list(listed())


def packages() -> Iterator[str]:
    """Every package of the core, and every distribution beside it."""
    for found in (ROOT / "src" / "meshregistry").rglob("__init__.py"):
        yield f"{found.parent.relative_to(ROOT).as_posix()}/"
    for found in (ROOT / "plugins").glob("*/pyproject.toml"):
        yield f"{found.parent.relative_to(ROOT).as_posix()}/"


def test_every_package_is_listed() -> None:
    """A new package gets a line that says what it is for."""
    assert set(packages()) - set(PATHS) == set()


def test_whatever_is_listed_is_there() -> None:
    """By name or by pattern; a folder is a folder."""
    assert len(PATHS) > 100
    gone = [
        path
        for path in PATHS
        if not any(found.is_dir() or not path.endswith("/") for found in ROOT.glob(path))
    ]
    assert gone == []
