"""docs/how-to/test-environments.md: its files are right, and route as the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from meshregistry import Settings
from meshregistry.cli import main
from meshregistry.pilot import Pilot

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = Path(__file__).parent.parent / "docs" / "how-to" / "test-environments.md"


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


def decisions(document: dict[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """By service: the value of x-env that each route wants, and the subset that it leads to."""
    found: dict[str, list[tuple[str, str]]] = {}
    for one in document["types"][0]["resources"]:
        for host in one["message"]["virtual_hosts"]:
            for route in host["routes"] if host["name"] != "allow_any" else ():
                headers = route["match"].get("headers", [])
                wanted = headers[0]["string_match"]["exact"] if headers else ""
                _, _, subset, name = route["route"]["cluster"].split("|")
                found.setdefault(name.partition(".")[0], []).append((wanted, subset))
    return found


def test_sidecars_are_sent_the_table(folder: Path, run_async: Callable[..., None]) -> None:
    """A service has a route for an environment only if that, or its fallback, has endpoints."""

    async def follow() -> None:
        async with Pilot(Settings.load(folder / "mesh.yaml"), serve=False) as pilot:
            await pilot.synced(10)
            node = "sidecar~10.9.9.9~web~shop.svc.mesh.local"
            assert decisions(pilot.resources_document(node, "rds")) == {
                "web": [("", "")],
                "reviews": [("alice", "env=alice"), ("bob", "env=alice"), ("", "")],
                "ratings": [("bob", "env=bob"), ("", "")],
            }
            assigned = {
                one["message"]["cluster_name"]: str(one["message"])
                for one in pilot.resources_document(node, "eds")["types"][0]["resources"]
            }
            common = assigned["outbound|9081||reviews.shop.svc.mesh.local"]
            assert "10.0.0.2" in common
            assert "10.0.0.3" not in common

    run_async(follow())
