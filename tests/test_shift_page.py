"""docs/how-to/shift-and-drain.md: its files are right, and its commands do what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from meshregistry import Endpoint, Pilot, Settings
from meshregistry.cli import main
from meshregistry.testing import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parent.parent / "docs" / "how-to" / "shift-and-drain.md"
TEXT = PAGE.read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line.removeprefix("$ meshregistry "))
    for block in re.findall(r"```console\n(.*?)```", TEXT, re.DOTALL)
    for line in block.splitlines()
]


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """The admin port of the page's files, which are those of the current folder."""
    chosen = free_port()
    for name, content in re.findall(r"```yaml\n# (\S+)\n(.*?)```", TEXT, re.DOTALL):
        ours = content.replace("15010", "0").replace("8080", str(chosen))
        (tmp_path / name).write_text(ours)
    for name in re.findall(r"^mkdir (\S+)$", TEXT, re.MULTILINE):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MESHREGISTRY_CONFIG", raising=False)
    return chosen


@pytest.fixture
def pilot(port: int, tmp_path: Path) -> Iterator[Pilot]:
    """The server of the page."""
    del port
    with Pilot.in_thread(Settings.load(tmp_path / "mesh.yaml")) as pilot:
        pilot.synced(timeout=10)
        yield pilot


def weights(pilot: Pilot) -> list[int]:
    """Of the two endpoints of `vms` and the one of `cloud`, as the next world has them."""
    found = {str(one): one.weight for one in pilot.merged.endpoints("reviews.shop")}
    return [found[name] for name in ("10.0.0.1:9080", "10.0.0.2:9080", "10.8.0.1:9080")]


def test_the_commands_do_what_the_page_says(
    pilot: Pilot, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """One after the other; after each, the catalog has what it decides."""
    expected = iter([[1, 1, 0], [9, 9, 2], [1, 1, 2], [0, 0, 1], [1, 1, 1]])
    changes = pilot.changes(since=pilot.catalog)
    for words in COMMANDS:
        ours = [word.replace("8080", str(port)) for word in words]
        assert main(ours) == 0, capsys.readouterr().err
        out = capsys.readouterr().out
        match words[0]:
            case "shift":
                wanted = next(expected)
                while weights(pilot) != wanted:
                    next(changes)
            case "explain":
                assert "share of cloud at http: 10 % instead of 33.33 %" in out
            case "drain" if "--undo" in words:
                while not pilot.serving(Endpoint(address="10.0.0.1", port=9080)):
                    next(changes)
            case "drain":
                assert "10.0.0.1:9080 is drained: 0 proxies" in out
                assert not pilot.serving(Endpoint(address="10.0.0.1", port=9080))
    assert next(expected, None) is None
    assert list(Path("decisions").iterdir()) == []


def test_the_addresses_of_replicas_are_allowed() -> None:
    """The example with several replicas is one that the settings take."""
    (example,) = re.findall(r"```yaml\n(server: .*?)```", TEXT, re.DOTALL)
    settings = Settings.from_dict(yaml.safe_load(example))
    assert settings.server.peers == ("http://10.0.0.11:8080",)
