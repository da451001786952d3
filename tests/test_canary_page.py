"""docs/how-to/canary.md: its files are right, and route as the page says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from meshregistry import Settings
from meshregistry.cli import main
from meshregistry.pilot import Pilot

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = Path(__file__).parent.parent / "docs" / "how-to" / "canary.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of the page, each under the name that its first line gives."""
    text = PAGE.read_text(encoding="utf-8")
    for name, content in re.findall(r"```yaml\n# (\S+)\n(.*?)```", text, re.DOTALL):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    return tmp_path


def test_check_finds_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither faults nor warnings."""
    assert main(["check", str(folder / "mesh.yaml")]) == 0
    assert capsys.readouterr().out == ""


def test_a_warning_is_told_and_is_no_fault(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A subset of everything is likely a mistake."""
    path = folder / "routing" / "reviews.yaml"
    path.write_text(path.read_text().replace("{name: v1, labels: {version: v1}}", "{name: v1}"))
    assert main(["check", str(folder / "mesh.yaml")]) == 0
    out = capsys.readouterr().out
    assert out.startswith("warning: ")
    assert "the subset v1 is the whole service" in out
    assert main(["check", "-o", "json", str(folder / "mesh.yaml")]) == 0
    assert len(json.loads(capsys.readouterr().out)["warnings"]) == 1


def test_sidecars_are_sent_the_weights(folder: Path, run_async: Callable[..., None]) -> None:
    """And the header's route before them."""

    async def follow() -> None:
        settings = Settings.load(folder / "mesh.yaml")
        async with Pilot(settings, serve=False) as pilot:
            await pilot.synced(10)
            node = "sidecar~10.9.9.9~web~shop.svc.mesh.local"
            document = pilot.resources_document(node, "rds")
            (routes,) = [one["message"] for one in document["types"][0]["resources"]]
            by_header, rest = routes["virtual_hosts"][0]["routes"]
            assert by_header["route"]["cluster"] == "outbound|9080|v2|reviews.shop.svc.mesh.local"
            weights = rest["route"]["weighted_clusters"]["clusters"]
            assert [one["weight"] for one in weights] == [95, 5]

    run_async(follow())
