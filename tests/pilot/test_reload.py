"""Reloading settings: all of what can be applied, or nothing."""

from __future__ import annotations

import asyncio

import pytest

from meshregistry import Pilot, Settings
from meshregistry.errors import ConfigError
from meshregistry.model import ServiceKey

ONE = {"id": "one", "kind": "memory"}
TWO = {"id": "two", "kind": "memory"}


@pytest.fixture
def reloaded(run_async, make_settings):
    """``reloaded(old, new)``: the report of one reload, with the pilot before and after."""

    def run(old, new, *, before=None, after=None):
        async def main():
            async with Pilot(make_settings(*old), serve=False) as pilot:
                if before is not None:
                    await before(pilot)
                report = await pilot.reload(
                    new if isinstance(new, Settings) else make_settings(*new)
                )
                if after is not None:
                    await after(pilot)
                return report

        return run_async(main())

    return run


class TestReport:
    def test_equal_settings_change_nothing(self, reloaded):
        """Every section is named as unchanged."""
        report = reloaded([ONE, TWO], [ONE, TWO])
        assert ((), ()) == (report.applied, report.needs_restart)
        assert (
            "sources.one",
            "sources.two",
            "identity",
            "merge",
            "mesh",
            "server",
            "rules",
        ) == report.unchanged

    def test_names_added_changed_and_removed_sources(self, reloaded):
        """By id."""
        three = {"id": "three", "kind": "memory"}
        report = reloaded([ONE, TWO], [three, {**ONE, "manual": True}])
        assert {"sources.one", "sources.two", "sources.three"} == set(report.applied)
        assert ("identity", "merge", "mesh", "server", "rules") == report.unchanged

    def test_the_order_of_sources_is_precedence(self, reloaded):
        """So another order is a change, although every source is the same."""
        report = reloaded([ONE, TWO], [TWO, ONE])
        assert ("sources",) == report.applied
        assert {"sources.one", "sources.two"} <= set(report.unchanged)

    def test_listeners_need_a_restart_until_there_is_one(self, run_async, make_settings):
        """A second reload of the same file says so again, since it is still not in force."""

        async def main():
            old, new = make_settings(ONE), make_settings(ONE, server={"max_streams": 5})
            async with Pilot(old, serve=False) as pilot:
                for _ in range(2):
                    report = await pilot.reload(new)
                    assert ((), ("server",)) == (report.applied, report.needs_restart)
                assert "server" in (await pilot.reload(old)).unchanged

        run_async(main())

    def test_the_snapshot_stays_where_it_is_until_a_restart(
        self, run_async, make_settings, tmp_path
    ):
        """It is read at the start only."""

        async def main():
            async with Pilot(make_settings(ONE), serve=False) as pilot:
                for _ in range(2):
                    report = await pilot.reload(make_settings(ONE, snapshot=str(tmp_path)))
                    assert ((), ("snapshot",)) == (report.applied, report.needs_restart)

        run_async(main())

    def test_adapters_were_told_the_domain(self, run_async, make_settings):
        """So it needs a restart, while the rest of the mesh's settings is applied."""

        async def main():
            async with Pilot(make_settings(ONE), serve=False) as pilot:
                mesh = {"domain": "other.local", "connect_timeout": "3s"}
                report = await pilot.reload(make_settings(ONE, mesh=mesh))
                assert (("mesh",), ("mesh.domain",)) == (report.applied, report.needs_restart)

        run_async(main())

    def test_the_general_sync_timeout_is_applied(self, reloaded, make_settings):
        """It is that of the sources that have none of their own."""
        report = reloaded([{**ONE, "sync_timeout": "1s"}], make_settings(ONE, sync_timeout="2s"))
        assert {"sources.one", "sync_timeout"} == set(report.applied)


class TestData:
    def test_wrong_settings_change_nothing(self, run_async, make_settings, record):
        """One bad source, and the good one beside it is not added either."""

        async def main():
            async with Pilot(make_settings(ONE), serve=False) as pilot:
                pilot.memory("one").upsert(record("a.b", "10.0.0.1:80"))
                await pilot.published(timeout=5)
                before = pilot.catalog
                with pytest.raises(ConfigError, match="nonsense"):
                    await pilot.reload(make_settings(TWO, {"id": "x", "kind": "nonsense"}))
                await pilot.published(timeout=5)
                assert before is pilot.catalog
                assert ["one"] == [status.id for status in pilot.sources()]
                pilot.memory("one").remove("a.b")
                with pytest.raises(KeyError):
                    pilot.memory("two")

        run_async(main())

    def test_only_a_removed_id_removes_data(self, run_async, make_settings, record):
        """A changed source keeps what it said until its new run's first listing."""

        async def main():
            async with Pilot(make_settings(ONE, TWO), serve=False) as pilot:
                pilot.memory("one").upsert(record("a.b", "10.0.0.1:80"))
                pilot.memory("two").upsert(record("c.d", "10.0.0.2:80"))
                await pilot.published(timeout=5)
                await pilot.reload(make_settings({**ONE, "manual": True}))
                await pilot.published(timeout=5)
                assert {ServiceKey.parse("a.b")} == set(pilot.catalog.by_key)
                assert ["STALE"] == [str(status.condition) for status in pilot.sources()]
                pilot.memory("one").replace([])
                await pilot.published(timeout=5)
                assert 0 == len(pilot.catalog)

        run_async(main())

    def test_an_added_source_joins_as_it_syncs(self, run_async, make_settings, record):
        """It never unreadies the pilot."""

        async def main():
            async with Pilot(make_settings(ONE), serve=False) as pilot:
                await pilot.synced(timeout=5)
                await pilot.reload(make_settings(ONE, {**TWO, "manual": True}))
                assert ((), ("two",)) == (pilot.readiness(), pilot.unsynced())
                pilot.memory("two").replace([record("c.d", "10.0.0.2:80")])
                await pilot.published(timeout=5)
                assert 1 == len(pilot.catalog)

        run_async(main())

    def test_another_merge_policy_merges_everything_again(self, run_async, make_settings, record):
        """Without a word of any source."""

        async def main():
            async with Pilot(make_settings(ONE, TWO), serve=False) as pilot:
                pilot.memory("one").upsert(record("a.shop", "10.0.0.1:80", protocol="HTTP"))
                pilot.memory("two").upsert(record("a.shop", "10.0.0.2:80", protocol="TCP"))
                await pilot.published()
                merge = {"endpoints": "failover", "from": {"protocol": ["two"]}}
                report = await pilot.reload(make_settings(ONE, TWO, merge=merge))
                assert ("merge",) == report.applied
                await pilot.published()
                (entry,) = pilot.catalog.find("a.shop")
                assert [0, 1] == [one.priority for one in entry.endpoints]
                assert ["TCP"] == [str(port.protocol) for port in entry.service.ports]

        run_async(main())

    def test_another_identity_names_everything_again(self, run_async, make_settings, record):
        """Without a word of any source; the sources run on."""

        async def main():
            async with Pilot(make_settings(ONE, TWO), serve=False) as pilot:
                pilot.memory("one").upsert(record("a.shop", "10.0.0.1:80"))
                pilot.memory("two").upsert(record("a.consul", "10.0.0.2:80"))
                await pilot.published()
                identity = {"templates": [{"pattern": "{name}.consul", "host": "{name}.shop"}]}
                report = await pilot.reload(make_settings(ONE, TWO, identity=identity))
                assert ("identity",) == report.applied
                await pilot.published()
                assert 2 == len(pilot.catalog.endpoints("a.shop"))
                assert ["a.consul", "a.shop"] == [str(one.host) for one in pilot.catalog.services()]
                await pilot.reload(make_settings(ONE, TWO))
                await pilot.published()
                assert 1 == len(pilot.catalog.endpoints("a.consul"))

        run_async(main())

    def test_a_source_may_bring_its_own_identity(self, run_async, make_settings, record):
        """It is the source that has changed; two of its records may become one service."""

        async def main():
            async with Pilot(make_settings(ONE), serve=False) as pilot:
                pilot.memory("one").upsert(record("a-v1.shop", "10.0.0.1:80"))
                pilot.memory("one").upsert(record("a-v2.shop", "10.0.0.2:80"))
                await pilot.published()
                own = [{"pattern": "{name}-{version}.shop", "host": "{name}.shop"}]
                report = await pilot.reload(make_settings({**ONE, "identity": own}))
                assert ("sources.one",) == report.applied
                await pilot.published()
                assert 2 == len(pilot.catalog.endpoints("a.shop"))
                (entry,) = pilot.catalog.find("a.shop")
                assert ("one",) == entry.sources

        run_async(main())

    def test_a_policy_that_names_no_source_changes_nothing(self, run_async, make_settings, record):
        """All or nothing: the former policy stays in force."""

        async def main():
            async with Pilot(make_settings(ONE, TWO), serve=False) as pilot:
                with pytest.raises(ConfigError, match=r"merge.order\[0\].*did you mean two\?"):
                    await pilot.reload(make_settings(ONE, TWO, merge={"order": ["tow"]}))
                pilot.memory("one").upsert(record("a.shop", "10.0.0.1:80"))
                await pilot.published()
                assert 1 == len(pilot.catalog)

        run_async(main())

    def test_a_change_of_the_mesh_publishes_the_same_catalog_again(
        self, run_async, make_settings, record
    ):
        """Another world, for what is derived; `changes` has nothing to tell."""

        async def main():
            async with Pilot(make_settings(ONE)) as pilot:
                pilot.memory("one").upsert(record("a.b", "10.0.0.1:80"))
                first = await pilot.published(timeout=5)
                following = asyncio.ensure_future(anext(pilot.changes(since=pilot.catalog)))
                await pilot.reload(make_settings(ONE, mesh={"connect_timeout": "7s"}))
                assert first + 1 == await pilot.published(timeout=5)
                assert not following.done()
                following.cancel()
                (group,) = pilot.resources_document("edge", "cds")["types"]
                cluster = next(one for one in group["resources"] if "a.b" in one["name"])
                assert "7s" == cluster["message"]["connect_timeout"]

        run_async(main())

    def test_a_change_of_a_source_alone_publishes_nothing_equal(
        self, run_async, make_settings, record
    ):
        """The same data from a restarted source is no new world."""

        async def main():
            async with Pilot(make_settings(ONE), serve=False) as pilot:
                pilot.memory("one").upsert(record("a.b", "10.0.0.1:80"))
                first = await pilot.published(timeout=5)
                await pilot.reload(make_settings({**ONE, "stale_after": "1h"}))
                assert first == await pilot.published(timeout=5)

        run_async(main())

    def test_another_folder_is_another_source(self, run_async, tmp_path):
        """Relative paths mean something else there."""
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "s.yaml").write_text(
                f"services: [{{host: {name}.shop, ports: [{{name: http, port: 80, protocol: HTTP}}]}}]"
            )
        source = {"id": "vms", "kind": "file", "path": "s.yaml"}

        def settings(name):
            return Settings.from_dict({"sources": [source]}, base_path=tmp_path / name)

        async def main():
            async with Pilot(settings("a"), serve=False) as pilot:
                catalog = await pilot.synced(timeout=10)
                report = await pilot.reload(settings("b"))
                assert ("sources.vms",) == report.applied
                diff = await anext(pilot.changes(since=catalog))
                assert (1, 1) == (len(diff.added), len(diff.removed))

        run_async(main())
