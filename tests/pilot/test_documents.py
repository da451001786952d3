"""The documents that commands print and HTTP serves."""

from __future__ import annotations

import json

import pytest

from meshregistry import Endpoint
from meshregistry.aggregate import PartStatus, SourceStatus
from meshregistry.defaults import builtin_plugins
from meshregistry.errors import RegistryUnavailable
from meshregistry.loader import Plugins
from meshregistry.model import Catalog, CatalogEntry, Conflict, Health, SourceId
from meshregistry.pilot import (
    catalog_document,
    endpoints_document,
    explain_document,
    plugins_document,
    sources_document,
)
from meshregistry.pilot._documents import about
from meshregistry.spi import Condition


@pytest.fixture
def catalog(record):
    """Two sources that agree on a host but for one port."""
    made = record(
        "reviews.shop",
        Endpoint(address="10.0.0.1", port=9080, labels={"version": "v1"}),
        Endpoint(address="10.0.0.2", port=9080, health=Health.UNHEALTHY),
        Endpoint(address="10.0.0.3", port=9080, weight=0),
    )
    return Catalog.of(
        [
            CatalogEntry(
                service=made.service,
                endpoints=made.endpoints,
                sources=(SourceId("vms"), SourceId("dc1")),
                endpoint_sources=(("vms",), ("vms", "dc1"), ("dc1",)),
                provenance={"resolution": "vms", "ports[80]": "vms"},
                conflicts=(
                    Conflict(
                        field="ports[80].protocol",
                        winner=SourceId("vms"),
                        loser=SourceId("dc1"),
                        chosen="HTTP",
                        rejected="TCP",
                    ),
                    Conflict(
                        field="endpoints", winner=None, loser="dc1", chosen="", rejected="10.0.0.9"
                    ),
                ),
            )
        ],
        generation=7,
    )


def status_of(name, condition=Condition.SYNCED, error=None, *, parts=("",), faulty=None):
    """A source's status with parts of the same condition."""
    made = tuple(
        PartStatus(
            name=part,
            condition=condition,
            age=1.5,
            services=1,
            endpoints=2,
            error=error,
            faulty=faulty or {},
            is_declared=bool(part),
        )
        for part in parts
    )
    return SourceStatus(
        id=SourceId(name),
        kind="file",
        condition=condition,
        is_synced=True,
        age=1.5,
        services=1,
        endpoints=2,
        error=error,
        attempts=3,
        parts=made,
        counters={"ignored_calls": 4},
    )


class TestCatalog:
    def test_every_value_knows_its_sources(self, catalog):
        """Services, endpoints, provenance and conflicts, as plain JSON."""
        document = json.loads(json.dumps(catalog_document(catalog)))
        assert 7 == document["generation"]
        (service,) = document["services"]
        assert ("reviews.shop", ["vms", "dc1"]) == (service["host"], service["sources"])
        assert [{"name": "http", "number": 80, "protocol": "HTTP"}] == service["ports"]
        assert [["vms"], ["vms", "dc1"], ["dc1"]] == [
            one["sources"] for one in service["endpoints"]
        ]
        assert {"version": "v1"} == service["endpoints"][0]["labels"]
        assert ["HEALTHY", "UNHEALTHY", "HEALTHY"] == [
            one["health"] for one in service["endpoints"]
        ]
        assert {"resolution": "vms", "ports[80]": "vms"} == service["provenance"]
        assert ["vms", None] == [one["winner"] for one in service["conflicts"]]

    def test_is_made_of_json_only(self, catalog):
        """No type of ours is left, so YAML can print it as well."""

        def kinds(value):
            yield type(value)
            if isinstance(value, dict):
                for key, item in value.items():
                    yield type(key)
                    yield from kinds(item)
            elif isinstance(value, list):
                for item in value:
                    yield from kinds(item)

        assert set(kinds(catalog_document(catalog))) <= {
            *(dict, list, str, int, float, bool, type(None))
        }


class TestEndpoints:
    def test_are_those_of_the_host(self, catalog):
        """A host is found without regard to case and a final dot."""
        document = catalog_document(catalog)
        for host in ("reviews.shop", "REVIEWS.shop.", None, ""):
            assert 3 == len(endpoints_document(document, host)["endpoints"])

    def test_of_an_unknown_host_are_an_error(self, catalog):
        """It says how to see what there is."""
        with pytest.raises(LookupError, match=r"'nope'; see .* meshregistry services"):
            endpoints_document(catalog_document(catalog), "nope")


class TestSources:
    def test_tell_condition_age_counts_and_error(self):
        """One row each."""
        error = RegistryUnavailable("nobody answers")
        (one,) = sources_document([status_of("dc1", Condition.STALE, error)])["sources"]
        assert ("dc1", "file", "STALE", 1.5, 1, 2, "nobody answers", 3) == tuple(
            one[key]
            for key in (
                *("id", "kind", "condition", "age", "services", "endpoints"),
                *("error", "attempts"),
            )
        )
        assert ({"ignored_calls": 4}, []) == (one["counters"], one["parts"])

    def test_tell_parts_and_faulty_records(self):
        """By part and key; what cannot be named says so."""
        status = status_of("dc1", parts=("east", "west"), faulty={"web": "no port", None: "torn"})
        (one,) = sources_document([status])["sources"]
        assert ["east", "west"] == [part["name"] for part in one["parts"]]
        assert "no port" == one["faulty"]["east/web"]
        assert "torn" == one["faulty"]["west/an unknown record"]


class TestExplain:
    def test_names_the_origin_of_each_value(self, catalog):
        """What, its value, and where it comes from; conflicts with both sides."""
        document = explain_document(catalog, "reviews.shop:80", [status_of("vms")])
        (service,) = document["services"]
        assert [("vms", "SYNCED"), ("dc1", "")] == [
            (one["id"], one["condition"]) for one in service["sources"]
        ]
        steps = [(one["what"], one["from"]) for one in service["steps"]]
        assert ("resolution", "vms") in steps
        assert ("ports[80]", "vms") in steps
        assert ("endpoint", "vms, dc1") in steps
        assert [("conflict", "vms"), ("conflict", "a rule")] == steps[-2:]
        values = " ".join(one["value"] for one in service["steps"])
        assert "10.0.0.3:9080 of http: HEALTHY, weight 0, not sent to proxies" in values

    def test_refuses_what_is_not_there(self, catalog):
        """An unknown host and an unknown port are different answers."""
        with pytest.raises(LookupError, match=r"no source knows the host 'nope\.shop'"):
            explain_document(catalog, "nope.shop", [])
        with pytest.raises(LookupError, match="has no port 81; it has 80"):
            explain_document(catalog, "reviews.shop:81", [])


class TestAbout:
    def test_keeps_a_host_and_what_leads_to_it(self):
        """By cluster name, then upwards by references."""

        def resource(name, *references):
            return {"name": name, "references": list(references)}

        document = {
            "types": [
                {
                    "type": "cds",
                    "resources": [resource("outbound|80||a.b"), resource("outbound|80||c.d")],
                },
                {"type": "eds", "resources": [resource("outbound|80||c.d")]},
                {"type": "lds", "resources": [resource("80", "routes"), resource("90", "other")]},
                {"type": "rds", "resources": [resource("routes", "outbound|80||a.b")]},
            ],
            "faults": ["kept"],
        }
        found = about(document, ["a.b"])
        assert {"cds": ["outbound|80||a.b"], "lds": ["80"], "rds": ["routes"]} == {
            group["type"]: [one["name"] for one in group["resources"]] for group in found["types"]
        }
        assert ["kept"] == found["faults"]


class TestPlugins:
    def test_tell_where_each_comes_from(self):
        """Distribution, version, state, hooks; and which kinds there are for settings."""
        plugins = Plugins.load(builtins=builtin_plugins(), entry_points=False, environ={})
        document = plugins_document(plugins)
        memory = document["plugins"][0]
        assert ("memory", "meshregistry", True, ["memory"], "") == tuple(
            memory[key] for key in ("name", "distribution", "loaded", "kinds", "error")
        )
        assert {"file", "memory"} == {one["name"] for one in document["kinds"]}
        assert all(one["summary"] for one in document["kinds"])
