"""Short words for worlds."""

from __future__ import annotations

from typing import Protocol as Shape

import pytest
from attrs import evolve

from meshregistry.generate import World
from meshregistry.model import Catalog, CatalogEntry, Endpoint, Hostname, Port, Protocol, Service
from meshregistry.rules import MeshSettings


class EntryOf(Shape):
    """Makes a catalog entry from few words; ports are like ``80/HTTP`` and named after it."""

    def __call__(
        self,
        host: str,
        *ports: str,
        endpoints: tuple[str | Endpoint, ...] = (),
        source: str = "here",
        **service: object,
    ) -> CatalogEntry: ...


class WorldOf(Shape):
    """Makes a world of entries; words are mesh settings."""

    def __call__(
        self, *entries: CatalogEntry, source_order: tuple[str, ...] = (), **mesh: object
    ) -> World: ...


def _entry(
    host: str,
    *ports: str,
    endpoints: tuple[str | Endpoint, ...] = (),
    source: str = "here",
    **service: object,
) -> CatalogEntry:
    parsed = []
    for text in ports or ("80/HTTP",):
        number, _, protocol = text.partition("/")
        parsed.append(Port(f"p{number}", int(number), Protocol.parse(protocol)))
    first = parsed[0].name
    members = (
        Endpoint.parse(one, service_port=first)
        if isinstance(one, str)
        else evolve(one, service_port=first if one.service_port == "http" else one.service_port)
        for one in endpoints
    )
    return CatalogEntry(
        service=Service(Hostname(host), ports=parsed, **service),
        endpoints=tuple(sorted(members, key=lambda one: one.key)),
        sources=(source,),
    )


def _world(*entries: CatalogEntry, source_order: tuple[str, ...] = (), **mesh: object) -> World:
    return World(catalog=Catalog.of(entries), mesh=MeshSettings(**mesh), source_order=source_order)


@pytest.fixture(scope="session")
def entry_of() -> EntryOf:
    """``entry_of("a.b", "80/HTTP", endpoints=("10.0.0.1:80",))``."""
    return _entry


@pytest.fixture(scope="session")
def world_of() -> WorldOf:
    """``world_of(entry, …, domain="mesh.local")``."""
    return _world
