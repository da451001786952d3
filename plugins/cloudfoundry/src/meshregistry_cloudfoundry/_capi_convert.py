"""From what the Cloud Controller lists to service records; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from meshregistry.errors import RecordError
from meshregistry.model import Service, ServiceRecord
from meshregistry_cloudfoundry._capi_instances import (
    Destination,
    destinations_of,
    instance_endpoints,
)
from meshregistry_cloudfoundry._capi_ports import front_door, ports_of, resolution_of
from meshregistry_cloudfoundry._convert import route_labels
from meshregistry_cloudfoundry._routes import Route

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from meshregistry_cloudfoundry._config import CapiConfig


# What reading JSON of another shape raises; one route must not take the others with it.
_MALFORMED = (ValueError, TypeError, AttributeError, KeyError)


@frozen(kw_only=True)
class Platform:
    """One look at the platform; everything by GUID.

    Attributes:
        routes: with their destinations.
        apps: with their states and labels.
        domains: of the routes.
        spaces: of the routes.
        organizations: of the spaces.
        processes: by GUID of the app and type.
        stats: the answers about instances, by GUID of the process.
    """

    routes: Mapping[str, Any]
    apps: Mapping[str, Any]
    domains: Mapping[str, Any]
    spaces: Mapping[str, Any]
    organizations: Mapping[str, Any]
    processes: Mapping[tuple[str, str], str] = field(factory=dict)
    stats: Mapping[str, Any] = field(factory=dict)

    def with_processes(self, listed: Mapping[str, Any]) -> Platform:
        """The same with processes."""
        processes = {
            (_guid(process, "app"), str(process.get("type"))): guid
            for guid, process in listed.items()
        }
        return evolve(self, processes=processes)

    def with_stats(self, stats: Mapping[str, Any]) -> Platform:
        """The same with instances."""
        return evolve(self, stats=stats)


@frozen(kw_only=True)
class _Known:
    """A route as it is understood."""

    route: Route
    protocol: str
    port: int
    is_internal: bool
    labels: Mapping[str, str]
    destinations: tuple[Destination, ...]


def platform_records(
    platform: Platform, config: CapiConfig
) -> Iterator[ServiceRecord | RecordError]:
    """One record for each host and path; TCP routes of one domain are ports of one service."""
    known: dict[str, list[_Known]] = {}
    faulty: set[str] = set()
    for guid, listed in platform.routes.items():
        try:
            if not _is_selected(listed, platform, config):
                continue
            one = _known(listed, platform)
        except _MALFORMED as error:
            key = str(listed.get("url") or guid).lower()
            faulty.add(key)
            yield _fault(key, error)
        else:
            known.setdefault(one.route.key, []).append(one)
    for key, every in known.items():
        if key in faulty:
            continue
        try:
            yield _record(every, platform, config)
        except _MALFORMED as error:
            yield _fault(key, error)


def wanted_processes(platform: Platform, config: CapiConfig) -> list[str]:
    """The processes whose instances matter: those that a route leads to."""
    wanted: dict[str, None] = {}
    for listed in platform.routes.values():
        try:
            if _is_selected(listed, platform, config):
                found = [one.process for one in _known(listed, platform).destinations]
                wanted |= dict.fromkeys(filter(None, found))
        except _MALFORMED:
            continue  # `platform_records` reports it
    return list(wanted)


def _fault(key: str, error: Exception) -> RecordError:
    what = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
    return RecordError(f"the route {key!r} is left out: {what}", key=key)


def _record(every: list[_Known], platform: Platform, config: CapiConfig) -> ServiceRecord:
    first = every[0]
    ports = ports_of(
        ((one.protocol, one.port, one.is_internal, one.destinations) for one in every), config
    )
    endpoints = [
        endpoint
        for one in every
        for destination in one.destinations
        for endpoint in _endpoints(one, destination, platform, config)
    ]
    endpoints = list({one.key: one for one in endpoints}.values())
    labels = dict(first.labels)
    for one in every[1:]:
        # What belongs to one port only would be wrong for the others.
        labels = {key: value for key, value in labels.items() if one.labels.get(key) == value}
    service = Service(
        first.route.service_host,
        ports=ports,
        resolution=resolution_of(endpoints),
        labels={**labels, **route_labels(first.route)},
    )
    return ServiceRecord(service, endpoints, key=first.route.key)


def _endpoints(
    one: _Known, destination: Destination, platform: Platform, config: CapiConfig
) -> Iterable[Any]:
    if not destination.is_started:
        return ()
    if config.endpoints == "router":
        return front_door(
            one.route, one.protocol, one.port, destination, config, is_internal=one.is_internal
        )
    stats = platform.stats.get(destination.process)
    return instance_endpoints(
        stats,
        destination,
        config,
        tcp_port=one.port if one.protocol == "tcp" else 0,
        is_internal=one.is_internal,
    )


def _known(listed: Mapping[str, Any], platform: Platform) -> _Known:
    domain = platform.domains.get(_guid(listed, "domain"), {})
    name, host = domain.get("name"), listed.get("host") or ""
    if not isinstance(name, str):
        msg = "its domain is not known"
        raise ValueError(msg)  # noqa: TRY004 - a wrong answer, not a wrong argument
    protocol, port = listed.get("protocol") or "http", listed.get("port") or 0
    route = Route.parse(f"{host}.{name}{listed.get('path') or ''}" if host else name)
    _ = route.service_host  # to see whether its path can be part of a host name
    space = platform.spaces.get(_guid(listed, "space"), {})
    organization = platform.organizations.get(_guid(space, "organization"), {})
    names = {
        "space_name": str(space.get("name") or ""),
        "organization_name": str(organization.get("name") or ""),
    }
    destinations = destinations_of(
        listed.get("destinations"), platform.apps, platform.processes, names
    )
    options = listed.get("options") or {}
    labels = {
        **_labels(listed),
        **names,
        "apps": ",".join(one.app_name for one in destinations),
        "loadbalancing": str(options.get("loadbalancing") or ""),
    }
    if any(one.weight is not None for one in destinations):
        labels["weights"] = ",".join(str(one.weight or 0) for one in destinations)
    return _Known(
        route=route,
        protocol=str(protocol),
        port=int(port),
        is_internal=bool(domain.get("internal")),
        labels={key: value for key, value in labels.items() if value},
        destinations=destinations,
    )


def _is_selected(listed: Mapping[str, Any], platform: Platform, config: CapiConfig) -> bool:
    space = platform.spaces.get(_guid(listed, "space"), {})
    organization = platform.organizations.get(_guid(space, "organization"), {})
    return (not config.spaces or space.get("name") in config.spaces) and (
        not config.organizations or organization.get("name") in config.organizations
    )


def _guid(thing: Mapping[str, Any], what: str) -> str:
    """The GUID at the other end of a relationship; empty if there is none."""
    data = ((thing.get("relationships") or {}).get(what) or {}).get("data") or {}
    return str(data.get("guid") or "")


def _labels(thing: Mapping[str, Any]) -> dict[str, str]:
    found = (thing.get("metadata") or {}).get("labels") or {}
    return {str(key): str(value) for key, value in found.items()}
