"""A pilot follows routing documents in files."""

from __future__ import annotations

import asyncio
import logging

import pytest

from meshregistry import Pilot, Settings
from meshregistry.pilot._documents import rules_document

GOOD = (
    "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n"
    "metadata: {name: a}\nspec: {host: a.example}\n"
)


@pytest.fixture
def settings(tmp_path):
    """A source in memory, and rules in a file that is not there yet."""
    return Settings.from_dict(
        {
            "sources": [{"id": "mine", "kind": "memory"}],
            "rules": [{"kind": "file", "path": str(tmp_path / "rules.yaml")}],
        }
    )


async def until(condition):
    """Wait for files to be looked at."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - files tell no event
            await asyncio.sleep(0.01)


def test_the_first_world_has_the_rules(run_async, settings, tmp_path):
    """The start gate waits for them, and says so."""

    async def main():
        async with Pilot(settings, serve=False) as pilot:
            with pytest.raises(TimeoutError, match="file"):
                await pilot.synced(0.05)
            assert "the source file has not synced" in pilot.readiness()
            (tmp_path / "rules.yaml").write_text(GOOD)
            await pilot.synced(10)
            assert [policy.name for policy in pilot.rules.policies] == ["a"]

    run_async(main())


def test_a_change_makes_another_world(run_async, settings, tmp_path):
    """Broken text changes nothing and is told once."""

    async def main():
        path = tmp_path / "rules.yaml"
        path.write_text(GOOD)
        async with Pilot(settings, serve=False) as pilot:
            await pilot.synced(10)
            before = await pilot.published(10)
            path.write_text(GOOD.replace("a.example", "b.example"))
            await until(lambda: pilot.rules.policies[0].host == "b.example")
            assert await pilot.published(10) > before
            path.write_text(GOOD.replace("host", "hots"))
            await until(lambda: pilot.rule_sources()[0].errors)
            assert pilot.rules.policies[0].host == "b.example"

    run_async(main())


def test_what_is_wrong_is_logged(run_async, settings, tmp_path, caplog):
    """With its place and its source."""

    async def main():
        (tmp_path / "rules.yaml").write_text(GOOD.replace("host", "hots"))
        async with Pilot(settings, serve=False) as pilot:
            await pilot.synced(10)

    with caplog.at_level(logging.WARNING, "meshregistry.pilot"):
        run_async(main())
    assert any("rules.yaml:4" in record.message for record in caplog.records)


def test_rule_sources_are_shown(run_async, settings, tmp_path):
    """As figures, and as a document with every message."""

    async def main():
        path = tmp_path / "rules.yaml"
        path.write_text(GOOD + "---\n" + GOOD.replace("host", "hots").replace("name: a", "name: b"))
        async with Pilot(settings, serve=False) as pilot:
            await pilot.synced(10)
            (shown,) = rules_document(pilot.rule_sources())["rule_sources"]
            assert (shown["kind"], shown["condition"], shown["documents"]) == ("file", "SYNCED", 2)
            assert "did you mean host" in shown["errors"][0]
            figures = {one.name: dict(one.samples) for one in pilot.statistics()}
            for name, value in (("documents", 2), ("errors", 2), ("warnings", 0)):
                assert list(figures[f"meshregistry_rule_{name}"].values()) == [value]
            assert list(figures["meshregistry_rule_source_synced"].values()) == [1]

    run_async(main())
