"""RDS for gateways: the hosts that rules bring to a gateway's servers.

Other than for sidecars, several rules may share a host: their routes are tried one after
the other, those that take everything last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshregistry.generate._gateway_plan import Manner, domains, gateway_plan
from meshregistry.generate._output import Generated
from meshregistry.generate._resolution import Resolved, resolved
from meshregistry.generate._route_match import CalledAt
from meshregistry.generate._routes import HostRoute, HostRoutes, checked, joined, missing
from meshregistry.rules import ServerProtocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from meshregistry.errors import GenerationError
    from meshregistry.generate._gateway_plan import Opening, Served
    from meshregistry.generate._world import View
    from meshregistry.rules import Destination, HashKey, HttpRoute

_NOT_FOUND = 404


def gateway_routes(view: View) -> Generated:
    """A route configuration for each port with plain HTTP, and for each server with HTTPS."""
    every = [words for _, words in gateway_hosts(view)]
    return Generated(
        resources=(
            one
            for words in every
            for one in joined(view, words.name, checked(view, words.hosts), ignore_port=True)
        ),
        faults=(fault for words in every for fault in words.faults),
    )


def gateway_hosts(view: View) -> Iterator[tuple[int, HostRoutes]]:
    """The port and the virtual hosts of each configuration."""
    plan = gateway_plan(view.gateways, view.mesh.router.address)
    for opening in plan.openings:
        for name, served in _by_configuration(opening).items():
            faults: list[GenerationError] = []
            hosts = _hosts(view, name, served, faults)
            port = opening.place.number
            if not any("*" in host.domains for host in hosts):
                hosts.append(HostRoute(f"blackhole:{port}", ("*",), status=_NOT_FOUND))
            yield port, HostRoutes(name, tuple(hosts), tuple(faults))


def _by_configuration(opening: Opening) -> dict[str, list[Served]]:
    found: dict[str, list[Served]] = {}
    for one in opening.served:
        if opening.manner is Manner.HTTP or one.server.protocol is ServerProtocol.HTTPS:
            found.setdefault(one.routes, []).append(one)
    return found


def _hosts(
    view: View, name: str, served: Iterable[Served], faults: list[GenerationError]
) -> list[HostRoute]:
    """The virtual hosts of a configuration, in the order of their domains."""
    found: dict[str, list[Resolved]] = {}
    redirected: set[str] = set()
    port = 0
    for one in served:
        port = one.server.port
        own = set()
        place = CalledAt(gateway=one.gateway.key, section=one.server.name)
        for rule in view.routing.at_gateway(place):
            result = resolved(view, rule, port, place=place)
            if result is None:
                continue
            if at := tuple(domains(one, rule.hosts, rule.namespace)):
                faults += missing(view, result, name)
            for domain in at:
                found.setdefault(domain, []).append(result)
                own.add(domain)
        if one.server.tls is not None and one.server.tls.is_redirect:
            redirected |= own | {host.partition("/")[2] for host in one.server.hosts}
    return [
        HostRoute(
            f"{domain}:{port}",
            (domain,),
            ruled=_together(found.get(domain, ())),
            is_tls_required=domain in redirected,
        )
        for domain in sorted({*found, *redirected})
    ]


def _together(results: Iterable[Resolved]) -> Resolved:
    """The routes of several rules for one host, those that take everything last."""
    routes: list[HttpRoute] = []
    clusters: dict[Destination, str | None] = {}
    keys: dict[Destination, HashKey] = {}
    for one in results:
        routes += one.routes
        clusters.update(one.clusters)
        keys.update(one.hash_keys)
    return Resolved(
        routes=tuple(sorted(routes, key=_takes_everything)),
        clusters=tuple(clusters.items()),
        hash_keys=tuple(keys.items()),
    )


def _takes_everything(route: HttpRoute) -> bool:
    return not route.matches or any(match.is_catch_all for match in route.matches)
