"""From a route and its backends to a service record; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshregistry.model import (
    AddressKind,
    Endpoint,
    Labels,
    Locality,
    Port,
    Protocol,
    Resolution,
    Service,
    ServiceRecord,
    address_kind,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshregistry_cloudfoundry._config import GorouterConfig
    from meshregistry_cloudfoundry._messages import Backend
    from meshregistry_cloudfoundry._routes import Route

PORT = "http"
"""The name of the one port of a service."""


def route_labels(route: Route) -> dict[str, str]:
    """The labels that say which context path a service stands for."""
    return {"route": str(route), "path": route.path} if route.path else {}


def gorouter_record(
    route: Route, backends: Iterable[Backend], config: GorouterConfig
) -> ServiceRecord:
    """One route as a record.

    If backends disagree on what belongs to the route as a whole (protocol, route service, load
    balancing), the first one by address counts.
    """
    every = tuple(backends)
    spoken = next((one.protocol for one in every if one.protocol is not None), None)
    # Nobody stands between callers and containers who could change the port.
    inner = next((one.port for one in every if one.is_internal), None)
    service = Service(
        route.service_host,
        ports=[Port(PORT, inner or config.service_port, spoken or Protocol(config.protocol))],
        resolution=_resolution(one.address for one in every),
        labels={
            **route_labels(route),
            **_first("route_service_url", (one.route_service for one in every)),
            **_first("loadbalancing", (one.load_balancing for one in every)),
        },
    )
    return ServiceRecord(service, (_endpoint(one, config) for one in every), key=route.key)


def _endpoint(backend: Backend, config: GorouterConfig) -> Endpoint:
    said = {
        "app": backend.app,
        "private_instance_id": backend.instance_id,
        "private_instance_index": backend.instance_index,
        "isolation_segment": backend.segment,
        "server_cert_domain_san": backend.san,
        "tls": "true" if backend.is_tls else "false",
    }
    tags = dict(backend.tags) if config.tags else {}
    return Endpoint(
        address=backend.address,
        port=backend.port,
        service_port=PORT,
        locality=Locality(config.region, backend.zone),
        labels=Labels({**tags, **{key: value for key, value in said.items() if value}}),
    )


def _resolution(addresses: Iterable[str]) -> Resolution:
    is_dns = any(address_kind(one) is AddressKind.DNS for one in addresses)
    return Resolution.DNS if is_dns else Resolution.EDS


def _first(label: str, values: Iterable[str]) -> dict[str, str]:
    found = next(filter(None, values), "")
    return {label: found} if found else {}
