"""What the distributions of the core and of its plugins hold."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

if TYPE_CHECKING:
    from hatchling.builders.plugin.interface import BuilderInterface

ROOT = Path(__file__).parents[1]
DISTRIBUTIONS = [ROOT, *sorted(one.parent for one in ROOT.glob("plugins/*/pyproject.toml"))]


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


@pytest.mark.parametrize("folder", DISTRIBUTIONS, ids=lambda folder: folder.name)
def test_every_distribution_has_the_licence(folder: Path, tmp_path: Path) -> None:
    """Built for real. A file above its folder cannot be part of it, so plugins have copies."""
    text = (ROOT / "LICENSE").read_bytes()
    assert text == (folder / "LICENSE").read_bytes(), "copy the LICENSE of the root there"
    (wheel,) = WheelBuilder(str(folder)).build(directory=str(tmp_path), versions=["standard"])
    (sdist,) = SdistBuilder(str(folder)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (one for one in archive.namelist() if one.endswith("licenses/LICENSE"))
        assert text == archive.read(name)
    with tarfile.open(sdist) as archive:
        (name,) = (one for one in archive.getnames() if one.count("/") == 1 and "LICENSE" in one)
        found = archive.extractfile(name)
        assert found is not None
        assert text == found.read()
