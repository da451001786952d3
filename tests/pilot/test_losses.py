"""A loss that operators accept by a document, in a pilot."""

from __future__ import annotations

import asyncio

import pytest

from meshregistry import Pilot, ServiceRecord
from meshregistry.pilot import sources_document

ACCEPTANCE = """
apiVersion: meshregistry.dev/v1
kind: LossAcceptance
metadata: {{name: planned}}
spec: {{source: mine, {when}}}
"""
NOW = 1_000_000_000.0


def cart(*endpoints):
    """The record of one service."""
    return ServiceRecord.parse("cart.shop", port=80, endpoints=endpoints)


@pytest.mark.parametrize(
    ("when", "left"),
    [
        ("lostBy: 2001-09-09T01:46:40Z", 1),
        ("lostBy: 2001-09-09T01:46:00Z", 20),
        ("until: 2001-09-09T02:00:00Z", 1),
    ],
)
def test_a_document_releases_the_guard(run_async, make_settings, tmp_path, when, left):
    """If it is about the time at which the loss began, by the time of day."""
    settings = make_settings(
        {"id": "mine", "kind": "memory", "guard": True},
        rules=[{"kind": "file", "path": str(tmp_path / "rules.yaml")}],
    )
    (tmp_path / "rules.yaml").write_text("")
    many = [f"10.0.0.{n}:80" for n in range(1, 21)]

    async def main():
        async with Pilot(settings, serve=False, wall=lambda: NOW) as pilot:
            pilot.memory("mine").replace([cart(*many)])
            await pilot.published(timeout=10)
            pilot.memory("mine").replace([cart(many[0])])
            await pilot.published(timeout=10)
            assert len(pilot.catalog.endpoints("cart.shop")) == 20
            (shown,) = sources_document(pilot.sources())["sources"]
            assert shown["withheld"] == 19
            (loss,) = shown["losses"]
            assert (loss["part"], loss["before"], loss["after"], loss["withheld"]) == (
                "",
                20,
                1,
                19,
            )
            (tmp_path / "rules.yaml").write_text(ACCEPTANCE.format(when=when))
            async with asyncio.timeout(10):
                while not pilot.decisions:  # noqa: ASYNC110 - files tell no event
                    await asyncio.sleep(0.01)
            await pilot.published(timeout=10)
            assert len(pilot.catalog.endpoints("cart.shop")) == left

    run_async(main())
