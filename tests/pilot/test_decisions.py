"""Decisions of operators in a running pilot: in the catalog, explained, taken back."""

from __future__ import annotations

import asyncio
import logging

import pytest
from attrs import evolve

from meshregistry import Pilot, Settings
from meshregistry.model import Health, Hostname, ServiceKey
from meshregistry.pilot._decisions import decisions_document

SHIFT = (
    "apiVersion: meshregistry.dev/v1\nkind: SourceShift\nmetadata: {name: move, namespace: shop}\n"
    "spec: {hosts: [r.shop], weights: {old: 90, new: 10}}\n"
)
DRAIN = (
    "apiVersion: meshregistry.dev/v1\nkind: Drain\nmetadata: {name: d}\n"
    "spec: {host: r.shop, address: 10.0.0.1, port: 80}\n"
)


@pytest.fixture
def settings(tmp_path):
    """Two sources in memory, and documents in a folder."""
    return Settings.from_dict(
        {
            "sources": [{"id": "old", "kind": "memory"}, {"id": "new", "kind": "memory"}],
            "rules": [{"kind": "file", "path": str(tmp_path)}],
        }
    )


async def until(condition):
    """Wait for files to be looked at."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - files tell no event
            await asyncio.sleep(0.01)


def weights(catalog):
    """Of each endpoint, by address."""
    return {one.address: one.weight for one in catalog.endpoints("r.shop")}


def test_a_shift_is_in_the_first_catalog_and_can_be_taken_back(
    run_async, settings, record, tmp_path, caplog
):
    """It is explained by its document, told in the log, and gone with its file."""
    (tmp_path / "shift.yaml").write_text(SHIFT)

    async def main():
        async with Pilot(settings, serve=False) as pilot:
            pilot.memory("old").upsert(record("r.shop", "10.0.0.1:80"))
            pilot.memory("new").upsert(record("r.shop", "10.0.0.2:80"))
            assert weights(await pilot.synced(10)) == {"10.0.0.1": 9, "10.0.0.2": 1}
            (service,) = pilot.explain("r.shop")["services"]
            steps = [step for step in service["steps"] if step["what"] == "decision"]
            assert [(step["value"], step["from"]) for step in steps] == [
                ("share of new at http: 10 % instead of 50 %", "SourceShift shop/move"),
                ("share of old at http: 90 % instead of 50 %", "SourceShift shop/move"),
            ]
            (tmp_path / "shift.yaml").unlink()
            await until(lambda: weights(pilot.catalog) == {"10.0.0.1": 1, "10.0.0.2": 1})

    with caplog.at_level(logging.INFO, "meshregistry.pilot"):
        run_async(main())
    said = "SourceShift shop/move, r.shop: new 10, old 90"
    assert [f"in force: {said}", f"no longer in force: {said}"] == [
        one for one in caplog.messages if "in force" in one
    ]


def test_a_decision_about_another_name_of_a_service_is_shown_as_such(
    run_async, settings, record, tmp_path
):
    """It changes nothing, since decisions are about services; nobody has to find that out."""
    (tmp_path / "shift.yaml").write_text(SHIFT.replace("[r.shop]", "[r.old, '*']"))

    async def main():
        async with Pilot(settings, serve=False) as pilot:
            named = evolve(
                record("r.shop", "10.0.0.1:80"), aliases=[ServiceKey("", Hostname("r.old"))]
            )
            pilot.memory("old").upsert(named)
            await pilot.synced(10)
            await pilot.published(10)
            order = pilot.source_order()
            (shown,) = decisions_document(pilot.decisions, order, pilot.catalog)
            assert shown["other_names"] == {"r.old": "r.shop"}

    run_async(main())


def test_a_drain_is_published_as_a_change_of_endpoints(run_async, settings, record, tmp_path):
    """At once, without deriving any route."""

    async def main():
        async with Pilot(settings, serve=False) as pilot:
            pilot.memory("old").upsert(record("r.shop", "10.0.0.1:80"))
            before = await pilot.synced(10)
            rules = pilot.rules
            (tmp_path / "drain.yaml").write_text(DRAIN)
            await until(lambda: pilot.catalog is not before)
            (endpoint,) = pilot.catalog.endpoints("r.shop")
            assert endpoint.health is Health.DRAINING
            assert pilot.catalog.diff(before).is_endpoints_only
            assert pilot.rules is rules

    run_async(main())
