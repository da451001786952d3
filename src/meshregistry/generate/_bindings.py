"""Who listens where: addresses and ports are claimed in order of precedence.

HTTP services share a listener, since their host names tell them apart; nothing tells two
TCP services on one address apart, so the first takes it.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from attrs import frozen

from meshregistry.errors import GenerationError
from meshregistry.generate import _naming
from meshregistry.generate._world import LOCALHOST, Place
from meshregistry.model import LISTENER, Port, Protocol, Service

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from meshregistry.generate._world import Scope
    from meshregistry.rules import RouterSettings


@frozen(kw_only=True)
class Binding:
    """One address and port, and whose traffic arrives there.

    Attributes:
        place: an IP address and a port.
        is_http: whether host names decide; then all of `claims` share it.
        claims: the services and their ports, in order of precedence.
    """

    place: Place
    is_http: bool
    claims: tuple[tuple[Service, Port], ...]


@frozen(kw_only=True, eq=False)
class Bindings:
    """All bindings of a scope, sorted by address and port, and the claims that lost."""

    listed: tuple[Binding, ...]
    faults: tuple[GenerationError, ...]

    @property
    def places(self) -> frozenset[Place]:
        """Every place that is bound."""
        return frozenset(binding.place for binding in self.listed)

    @property
    def http(self) -> Mapping[int, tuple[tuple[Service, Port], ...]]:
        """The services that share an HTTP listener, by port."""
        return {binding.place.number: binding.claims for binding in self.listed if binding.is_http}


def sidecar_bindings(scope: Scope) -> Bindings:
    """Where a sidecar listens for what its workload sends, without interception.

    On 127.0.0.1 and the service's port; a TCP service whose virtual addresses are loopback
    addresses has those for itself. Any other virtual address belongs to no interface, so
    that binding it would make Envoy refuse the listener.
    """

    def places(service: Service, port: Port) -> tuple[str, ...]:
        if port.protocol.is_http:
            return (LOCALHOST,)
        own = tuple(address for address in service.addresses if ip_address(address).is_loopback)
        return own or (LOCALHOST,)

    return _claimed(scope, places, {})


def router_bindings(scope: Scope, router: RouterSettings) -> Bindings:
    """Where a router listens for TCP services: on its address, beside its HTTP port."""

    def places(_service: Service, port: Port) -> tuple[str, ...]:
        return () if port.protocol.is_http else (router.address,)

    return _claimed(
        scope, places, {Place(router.address, router.http_port): "the router's HTTP listener"}
    )


def _claimed(
    scope: Scope,
    places: Callable[[Service, Port], tuple[str, ...]],
    reserved: Mapping[Place, str],
) -> Bindings:
    held: dict[Place, list[tuple[Service, Port]]] = {}
    faults: list[GenerationError] = []
    for service in scope.services:
        for port in service.ports:
            if port.protocol is Protocol.UDP:
                continue
            for address in places(service, port):
                place = Place(address, port.number)
                claims = held.setdefault(place, [])
                if place not in reserved and (
                    not claims or (claims[0][1].protocol.is_http and port.protocol.is_http)
                ):
                    claims.append((service, port))
                    continue
                if claims and scope.is_same_target(claims[0], (service, port)):
                    continue  # a service and a name that stands for it
                winner = reserved.get(place) or f"{claims[0][0].host} ({claims[0][1].protocol})"
                faults.append(_lost(place, service, port, winner))
    return Bindings(
        listed=tuple(
            Binding(
                place=place,
                is_http=claims[0][1].protocol.is_http,
                claims=tuple(claims),
            )
            for place, claims in sorted(held.items(), key=lambda item: item[0])
            if claims
        ),
        faults=tuple(faults),
    )


def _lost(place: Place, service: Service, port: Port, winner: str) -> GenerationError:
    name = _naming.listener(*place)
    return GenerationError(
        f"{service.host} ({port.protocol}) has no listener {name}, which belongs to {winner}; "
        "give one of them another port, or the service a loopback address of its own",
        type_url=LISTENER,
        name=name,
    )
