"""Ports of the services of ``capi``, and gorouter as their front door; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshregistry.model import (
    AddressKind,
    Endpoint,
    Locality,
    Port,
    Protocol,
    Resolution,
    address_kind,
)
from meshregistry_cloudfoundry._capi_instances import USUAL_PORT, Destination, port_name
from meshregistry_cloudfoundry._config import split_router

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from meshregistry_cloudfoundry._config import CapiConfig
    from meshregistry_cloudfoundry._routes import Route


def ports_of(
    routes: Iterable[tuple[str, int, bool, tuple[Destination, ...]]], config: CapiConfig
) -> list[Port]:
    """The ports of a service.

    An HTTP route has the one that the settings say, a TCP route its own, and an internal route
    those of the containers, which callers reach without a router between.

    Args:
        routes: of one host: protocol, port, whether it is internal, destinations.
        config: of the source.
    """
    ports: dict[int, Port] = {}
    for protocol, number, is_internal, destinations in routes:
        if protocol == "tcp":
            ports.setdefault(number, Port(f"tcp-{number}", number, Protocol.TCP))
        elif is_internal:
            for one in destinations:
                inner = one.port or USUAL_PORT
                name = port_name(one, 0, is_internal=True)
                ports.setdefault(inner, Port(name, inner, one.protocol or Protocol.HTTP))
            if not destinations:
                ports.setdefault(USUAL_PORT, Port("http", USUAL_PORT, Protocol.HTTP))
        else:
            spoken = next((one.protocol for one in destinations if one.protocol), Protocol.HTTP)
            ports.setdefault(config.service_port, Port("http", config.service_port, spoken))
    return list(ports.values())


def front_door(
    route: Route,
    protocol: str,
    port: int,
    destination: Destination,
    config: CapiConfig,
    *,
    is_internal: bool,
) -> Iterator[Endpoint]:
    """Where a route answers, for those who cannot know its instances.

    Raises:
        ValueError: if a wildcard has no router to be sent to.
    """
    host, number = split_router(config.router, config.router_port)
    if is_internal:
        address, answered = str(route.host), destination.port or USUAL_PORT
    elif protocol == "tcp":
        address, answered = str(route.host), port
    else:
        address, answered = host or str(route.host), number
    if address.startswith("*"):
        msg = "a wildcard is no address: write router, the address of gorouter"
        raise ValueError(msg)
    yield Endpoint(
        address=address,
        port=answered,
        service_port=port_name(
            destination, port if protocol == "tcp" else 0, is_internal=is_internal
        ),
        locality=Locality(config.region),
    )


def resolution_of(endpoints: Iterable[Endpoint]) -> Resolution:
    """Names are resolved by the proxies."""
    is_dns = any(address_kind(one.address) is AddressKind.DNS for one in endpoints)
    return Resolution.DNS if is_dns else Resolution.EDS
