"""A pilot follows routing documents in files."""

from __future__ import annotations

import asyncio
import logging

import pytest

from meshregistry import Pilot, Settings
from meshregistry.errors import ConfigError
from meshregistry.pilot._decisions import decisions_document
from meshregistry.pilot._documents import rules_document
from meshregistry.spi import Condition

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


class TestReload:
    """Other rule sources without a restart."""

    @staticmethod
    def made(*paths, **words):
        """Settings with a rule source for each path, named after its stem."""
        return Settings.from_dict(
            {
                "sources": [{"id": "mine", "kind": "memory"}],
                "rules": [
                    {"id": path.stem, "kind": "file", "path": str(path), **words} for path in paths
                ],
            }
        )

    def test_rule_sources_come_and_go(self, run_async, tmp_path):
        """From none to two; the removed one loses its rules, the other keeps its own."""
        one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
        one.write_text(GOOD)
        two.write_text(GOOD.replace("a}", "b}").replace("a.example", "b.example"))

        def names(pilot):
            return sorted(policy.name for policy in pilot.rules.policies)

        async def main():
            async with Pilot(self.made(), serve=False) as pilot:
                await pilot.synced(10)
                report = await pilot.reload(self.made(one, two))
                assert ("rules.one", "rules.two") == report.applied
                await until(lambda: names(pilot) == ["a", "b"])
                report = await pilot.reload(self.made(two))
                assert (("rules.one",), ()) == (report.applied, report.needs_restart)
                assert "rules.two" in report.unchanged
                assert ["b"] == names(pilot)
                assert ["two"] == [status.id for status in pilot.rule_sources()]
                assert "rules" in (await pilot.reload(self.made(two))).unchanged
                two.write_text(GOOD)
                await until(lambda: names(pilot) == ["a"])

        run_async(main())

    def test_a_changed_one_keeps_what_a_broken_file_held(self, run_async, tmp_path):
        """The new run has not seen the file when it was whole, and the pilot has."""
        path = tmp_path / "one.yaml"
        path.write_text(f"{GOOD}---\n{GOOD.replace('a}', 'b}').replace('a.example', 'b.example')}")

        async def main():
            async with Pilot(self.made(path, watch="poll"), serve=False) as pilot:
                await pilot.synced(10)
                before = pilot.rules
                assert len(before.policies) == 2
                path.write_text(f"{GOOD}---\n{{")
                await pilot.reload(self.made(path))
                await until(lambda: pilot.rule_sources()[0].errors)
                assert pilot.rules == before

        run_async(main())

    def test_a_changed_one_keeps_its_rules_until_it_has_listed_anew(self, run_async, tmp_path):
        """Here the new path is not there yet."""
        (tmp_path / "old").mkdir()
        (tmp_path / "new").mkdir()
        old, new = tmp_path / "old" / "rules.yaml", tmp_path / "new" / "rules.yaml"
        old.write_text(GOOD)

        async def main():
            async with Pilot(self.made(old), serve=False) as pilot:
                await pilot.synced(10)
                report = await pilot.reload(self.made(new))
                assert ("rules.rules",) == report.applied
                (status,) = pilot.rule_sources()
                assert Condition.STALE is status.condition
                old.unlink()
                await until(lambda: pilot.rule_sources()[0].error is not None)
                assert ["a"] == [policy.name for policy in pilot.rules.policies]
                new.write_text(GOOD.replace("a}", "c}"))
                await until(lambda: ["c"] == [policy.name for policy in pilot.rules.policies])
                assert Condition.SYNCED is pilot.rule_sources()[0].condition

        run_async(main())

    def test_their_order_is_precedence(self, run_async, tmp_path):
        """Of two documents with one name the first source's counts, at once."""
        one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
        one.write_text(GOOD)
        two.write_text(GOOD.replace("a.example", "b.example"))

        async def main():
            async with Pilot(self.made(one, two), serve=False) as pilot:
                await pilot.synced(10)
                assert ["a.example"] == [policy.host for policy in pilot.rules.policies]
                report = await pilot.reload(self.made(two, one))
                assert ("rules",) == report.applied
                assert ["b.example"] == [policy.host for policy in pilot.rules.policies]

        run_async(main())

    def test_wrong_rule_sources_change_nothing(self, run_async, tmp_path):
        """Nor do right ones beside them."""
        one = tmp_path / "one.yaml"
        one.write_text(GOOD)

        async def main():
            async with Pilot(self.made(one), serve=False) as pilot:
                await pilot.synced(10)
                with pytest.raises(ConfigError, match="wacth"):
                    await pilot.reload(self.made(tmp_path / "two.yaml", wacth="poll"))
                assert ["one"] == [status.id for status in pilot.rule_sources()]
                assert ["a"] == [policy.name for policy in pilot.rules.policies]

        run_async(main())


def test_a_decision_in_a_file_is_in_force(run_async, settings, tmp_path):
    """Also one that comes later; what it names that is not there is shown."""
    drain = (
        "apiVersion: meshregistry.dev/v1\nkind: Drain\nmetadata: {name: d}\n"
        "spec: {host: a.b, address: 10.0.0.1, port: 80, source: theirs}\n"
    )

    async def main():
        path = tmp_path / "rules.yaml"
        path.write_text(GOOD)
        async with Pilot(settings, serve=False) as pilot:
            await pilot.synced(10)
            assert not pilot.decisions
            path.write_text(f"{GOOD}---\n{drain}")
            await until(lambda: pilot.decisions)
            (shown,) = decisions_document(pilot.decisions, pilot.source_order(), pilot.catalog)
            assert shown["what"] == "10.0.0.1:80 of a.b: DRAINING"
            assert (shown["unknown_sources"], shown["other_names"]) == (["theirs"], {})
            assert shown["from"] == f"Drain d ({path}:6)"
            counts = next(one for one in pilot.statistics() if one.name == "meshregistry_decisions")
            assert sorted(value for _, value in counts.samples) == [0.0, 0.0, 1.0]

    run_async(main())
