"""What is one service: transforms of plugins and settings, and what a dry run shows."""

from __future__ import annotations

from attrs import evolve

from meshregistry import Pilot
from meshregistry.aggregate import RecordTrace
from meshregistry.aggregate._updates import PartId
from meshregistry.model import Labels, ServiceKey, ServiceRecord, SourceId
from meshregistry.pilot._identity import identity_document
from meshregistry.spi import RecordTransform, hookimpl

ONE, TWO = {"id": "one", "kind": "memory"}, {"id": "two", "kind": "memory"}


def trace(source, host, key=None, by=""):
    """One record of a source, and the service that it is of."""
    record = ServiceRecord.parse(host, port=80)
    return RecordTrace(
        PartId(SourceId(source)), record, ServiceKey.parse(host if key is None else key), by
    )


class TestDocument:
    def test_lists_each_service_with_its_records(self):
        """By key; where a record came from and what has decided its name."""
        document = identity_document(
            [trace("a", "cart.shop"), trace("b", "cart.consul", "cart.shop", "rule")]
        )
        (service,) = document["services"]
        assert (service["host"], service["is_united"]) == ("cart.shop", True)
        assert [(one["source"], one["host"], one["by"]) for one in service["records"]] == [
            ("a", "cart.shop", ""),
            ("b", "cart.consul", "rule"),
        ]
        assert document["near_misses"] == []

    def test_lists_what_is_of_no_service(self):
        """With the reason."""
        lost = evolve(trace("a", "cart.shop", by="hidden by x"), key=None)
        document = identity_document([lost])
        assert document["services"] == []
        assert [one["by"] for one in document["left_out"]] == ["hidden by x"]

    def test_names_services_of_several_sources_that_are_nearly_one(self):
        """They begin alike, under whatever name they were or are called."""
        document = identity_document(
            [
                trace("a", "cart.shop"),
                trace("b", "cart.consul"),
                trace("b", "pay.consul", "payments.shop"),
                trace("a", "pay.shop"),
                trace("a", "*.shop"),
                trace("b", "*.consul"),
            ]
        )
        assert document["near_misses"] == [
            {"name": "cart", "services": ["cart.consul", "cart.shop"]},
            {"name": "pay", "services": ["pay.shop", "payments.shop"]},
        ]

    def test_services_of_one_source_are_meant_to_be_two(self):
        """Such as those of two namespaces; a third one may be either."""
        two = [trace("a", "cart.shop"), trace("a", "cart.test")]
        assert identity_document(two)["near_misses"] == []
        three = identity_document([*two, trace("b", "cart.consul")])
        assert three["near_misses"] == [
            {"name": "cart", "services": ["cart.consul", "cart.shop", "cart.test"]}
        ]


class Plugin:
    """Labels every record with its source, hides some, and fails for others."""

    @hookimpl
    def meshregistry_register_transforms(self):
        """One that labels, and one that is picky, which comes before it."""
        return [
            RecordTransform(name="label", apply=self.label),
            RecordTransform(name="picky", apply=self.picky, order=-1),
        ]

    @staticmethod
    def label(record, source):
        """Labels with kind and id."""
        labels = {**record.service.labels, "from": f"{source.kind}/{source.id}"}
        return evolve(record, service=evolve(record.service, labels=Labels(labels)))

    @staticmethod
    def picky(record, source):
        """Hides ``hidden``; cannot bear ``bad``."""
        if record.service.labels.get("mood") == "bad":
            raise ValueError("bad mood")
        return None if record.service.host.startswith("hidden") else record


class TestExplain:
    def test_names_the_policy_and_the_rules(self, run_async, make_settings, record):
        """Of the service, and of each name that stands for it."""
        sections = {
            "identity": {"templates": [{"pattern": "{name}.consul", "host": "{name}.shop"}]},
            "merge": {"overrides": [{"host": "*.shop", "endpoints": "failover"}]},
        }

        async def main():
            async with Pilot(make_settings(ONE, TWO, **sections), serve=False) as pilot:
                pilot.memory("one").upsert(record("a.shop", "10.0.0.1:80"))
                pilot.memory("two").upsert(record("a.consul", "10.0.0.2:80"))
                await pilot.published()

                def steps(host):
                    (service,) = pilot.explain(host)["services"]
                    return [(one["what"], one["value"], one["from"]) for one in service["steps"]]

                named = (
                    "identity",
                    "a.consul of two",
                    "identity.templates[0]: {name}.consul is {name}.shop",
                )
                assert [("merge", "endpoints failover", "the policy"), named] == steps("a.shop")[:2]
                assert named == steps("a.consul")[0]
                assert ("alias_of", "a.shop", "two") in steps("a.consul")
                assert any("priority 1" in value for _, value, _ in steps("a.shop"))

        run_async(main())


class TestTransforms:
    def test_of_plugins_change_records_before_the_merge(self, run_async, make_settings, record):
        """In order of their numbers, and before the identity of the settings."""
        identity = {"templates": [{"pattern": "{name}.consul", "host": "{name}.shop"}]}

        async def main():
            settings = make_settings(ONE, identity=identity)
            async with Pilot(settings, serve=False, plugins=[Plugin()]) as pilot:
                memory = pilot.memory("one")
                memory.upsert(record("a.consul", "10.0.0.1:80"))
                memory.upsert(record("hidden.consul", "10.0.0.2:80"))
                await pilot.published()
                (entry,) = pilot.catalog.find("a.shop")
                assert "from=memory/one" == str(entry.service.labels)
                assert not pilot.catalog.find("hidden.shop")
                document = pilot.identity_document()
                assert [("hidden.consul", "hidden by Plugin/picky")] == [
                    (one["host"], one["by"]) for one in document["left_out"]
                ]
                (service,) = document["services"]
                assert "Plugin/label" not in service["records"][0]["by"]
                assert "identity.templates[0]" in service["records"][0]["by"]

        run_async(main())

    def test_that_fail_keep_the_last_good_version(self, run_async, make_settings, record, caplog):
        """And the source says which record, and why."""

        async def main():
            async with Pilot(make_settings(ONE), serve=False, plugins=[Plugin()]) as pilot:
                memory = pilot.memory("one")
                memory.upsert(record("a.shop", "10.0.0.1:80"))
                await pilot.published()
                memory.upsert(record("a.shop", "10.0.0.2:80", labels={"mood": "bad"}))
                memory.upsert(record("b.shop", "10.0.0.3:80"))
                await pilot.published()
                assert ["10.0.0.1:80"] == [str(one) for one in pilot.catalog.endpoints("a.shop")]
                (status,) = pilot.sources()
                reason = "the transform Plugin/picky failed: ValueError: bad mood"
                assert {("", "a.shop"): reason} == dict(status.faulty)
                assert [reason in one.message for one in caplog.records] == [True]
                memory.upsert(record("a.shop", "10.0.0.4:80"))
                await pilot.published()
                assert ["10.0.0.4:80"] == [str(one) for one in pilot.catalog.endpoints("a.shop")]
                assert {} == dict(pilot.sources()[0].faulty)

        run_async(main())
