"""What the distributions of the core hold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

if TYPE_CHECKING:
    from hatchling.builders.plugin.interface import BuilderInterface

ROOT = Path(__file__).parents[1]


def held(kind: type[BuilderInterface]) -> set[str]:
    """The files of this tree that a distribution holds, by their paths in it."""
    return {one.distribution_path for one in kind(str(ROOT)).recurse_included_files()}


def test_the_source_distribution_holds_the_core_alone() -> None:
    """Adapters have distributions of their own, and tests need the whole tree."""
    tops = {path.partition("/")[0] for path in held(SdistBuilder)}
    assert {"CHANGELOG.md", "LICENSE", "README.md", "src"} == tops


def test_the_wheel_holds_what_programs_read_beside_modules() -> None:
    """Pages, documents, dashboards, message types: whatever is in the package."""
    source = ROOT / "src"
    data = {
        path.relative_to(source).as_posix()
        for path in (source / "meshregistry").rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc"}
    }
    assert "meshregistry/server/page/index.html" in data
    assert data <= held(WheelBuilder)
