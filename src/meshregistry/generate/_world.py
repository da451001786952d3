"""The world, what of it a scope of proxies may see, and the view that a generator is given.

Everything here depends on services alone, never on endpoints: a change of endpoints leaves
a `Scope` the same object, and with it every route and listener that was made from it.
"""

from __future__ import annotations

import typing
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from attrs import field, frozen

from meshregistry.errors import GenerationError
from meshregistry.generate._ruling import Policies, Routing
from meshregistry.model import (
    Catalog,
    Endpoint,
    Hostname,
    Port,
    Protocol,
    Resolution,
    Service,
    SourceId,
)
from meshregistry.rules import Gateway, MeshSettings, RuleSet

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping

    from meshregistry.model import CatalogEntry, ServiceKey


W = TypeVar("W", bound="Hashable")

LOCALHOST = "127.0.0.1"
"""Where workloads listen, and where their sidecars listen for them."""


def _order(sources: Iterable[SourceId]) -> tuple[SourceId, ...]:
    return tuple(sources)


@frozen(kw_only=True, eq=False)
class World:
    """Everything that decides what proxies are sent, at one moment.

    Attributes:
        catalog: all services and their endpoints.
        mesh: settings of the mesh.
        rules: the routing configuration.
        source_order: source ids in order of precedence; sources that it does not name come
            last. It decides collisions, before the host's name does.
    """

    catalog: Catalog = field(factory=Catalog)
    # One object for all worlds: generators remember what they made by its identity.
    mesh: MeshSettings = field(default=MeshSettings())
    rules: RuleSet = field(default=RuleSet())
    source_order: tuple[SourceId, ...] = field(default=(), converter=_order)

    @cached_property
    def _ranks(self) -> dict[SourceId, int]:
        return {source: rank for rank, source in enumerate(self.source_order)}

    def rank(self, entry: CatalogEntry) -> int:
        """The place of the entry's first source in the order of sources."""
        last = len(self.source_order)
        return self._ranks.get(entry.sources[0], last) if entry.sources else last

    def precedence(self, entry: CatalogEntry) -> tuple[int, str, str]:
        """Sorts entries: who comes first wins a collision (source order, then host)."""
        return (self.rank(entry), entry.service.host, entry.service.namespace or "")


@frozen(kw_only=True, eq=False)
class Scope:
    """The services that a set of proxies may see, each host once.

    Attributes:
        seen_from: the namespace that decided what is visible; None: any other.
        sight: what else narrowed it, as a word; empty: nothing.
        services: in order of precedence.
        faults: hosts that were decided against, because two namespaces have them.
    """

    seen_from: str | None = None
    sight: str = ""
    services: tuple[Service, ...] = ()
    faults: tuple[GenerationError, ...] = ()

    @property
    def name(self) -> tuple[str | None, str]:
        """Tells scopes of one world apart."""
        return (self.seen_from, self.sight)

    @cached_property
    def homes(self) -> frozenset[str]:
        """The namespaces in which the services live."""
        return frozenset(service.namespace or "" for service in self.services)

    @cached_property
    def keys(self) -> tuple[ServiceKey, ...]:
        """The keys of the services, in the same order."""
        return tuple(service.key for service in self.services)

    @cached_property
    def by_host(self) -> Mapping[Hostname, Service]:
        """The services by host."""
        return {service.host: service for service in self.services}

    def is_same(self, other: Scope) -> bool:
        """Whether the other one holds equal services in the same order, and equal faults."""
        return self.services == other.services and [str(fault) for fault in self.faults] == [
            str(fault) for fault in other.faults
        ]

    def target(self, service: Service, port: Port) -> tuple[Service, Port] | None:
        """Whose cluster carries the traffic of a port: its own, or of the host that it stands for.

        None if an alias leads nowhere: to no visible host, to a host without such a port,
        or in a circle.
        """
        seen: set[Hostname] = set()
        while service.resolution is Resolution.ALIAS and service.alias_of is not None:
            if service.host in seen or service.alias_of not in self.by_host:
                return None
            seen.add(service.host)
            service = self.by_host[service.alias_of]
            found = next((own for own in service.ports if own.number == port.number), None)
            if found is None or not _is_alike(found.protocol, port.protocol):
                return None
            port = found
        return (service, port)

    def is_same_target(self, one: tuple[Service, Port], other: tuple[Service, Port]) -> bool:
        """Whether one is the other, or stands for it."""
        target = self.target(*one)
        return target is not None and target == self.target(*other)


def _is_alike(one: Protocol, other: Protocol) -> bool:
    """Whether both are routed by host name, or both are forwarded byte by byte."""
    return (one.is_http and other.is_http) or (one.is_tcp and other.is_tcp)


class Place(NamedTuple):
    """Where something listens."""

    address: str
    number: int


@frozen(kw_only=True)
class OwnPort:
    """One port of the proxy's own workload: an endpoint at one of its addresses.

    Attributes:
        address: the proxy's address.
        number: the port that the workload listens on.
        host: the service that the endpoint belongs to.
        port: the service's port that it serves.
        target: where the workload listens, as ``address:port`` or ``unix:///path``; empty:
            at the same port of 127.0.0.1.
        namespace: the service's; empty if it has none.
    """

    address: str
    number: int
    host: Hostname
    port: Port
    target: str = ""
    namespace: str = ""


class Keep(typing.Protocol):
    """Recalls an encoded piece by the words that decide it, or makes it."""

    def __call__(self, words: W, make: Callable[[W], bytes], /) -> bytes: ...


def _make(words: W, make: Callable[[W], bytes], /) -> bytes:
    return make(words)


@frozen(kw_only=True, eq=False)
class View:
    """What a generator may read, and all that it may read.

    What the generator has not declared is blank, so that views which differ only in that
    are one.

    Attributes:
        mesh: settings of the mesh.
        scope: the services that the proxy may see.
        routing: the route rules that hold for the proxy.
        connections: those of them that say something of whole connections to services.
        policies: the destination policies that hold for the proxy.
        gateways: that select the proxy, in order of precedence; only routers have some.
        namespace: of the proxy; empty if no visible service lives there.
        own: the ports of its own workload, in order of precedence.
        taken: the addresses and ports, of those that sidecars bind for this scope, at which
            its own workload or its inbound listeners are.
        keep: gives the encoded piece for some words, if need be by calling the function.
    """

    mesh: MeshSettings
    scope: Scope = field(factory=Scope)
    routing: Routing = field(factory=Routing)
    connections: Routing = field(factory=Routing)
    policies: Policies = field(factory=Policies)
    gateways: tuple[Gateway, ...] = ()
    namespace: str = ""
    own: tuple[OwnPort, ...] = ()
    taken: tuple[Place, ...] = ()
    keep: Keep = _make


def deciding_namespaces(entries: Iterable[CatalogEntry]) -> frozenset[str]:
    """The namespaces whose proxies may see something else than all the others.

    They are named by some service's export, or hold a host that another one holds, too.
    """
    homes: dict[Hostname, str] = {}
    deciding: set[str] = set()
    for entry in entries:
        service, home = entry.service, entry.service.namespace or ""
        if service.export_to != ("*",):
            deciding.update(home if to == "." else to for to in service.export_to)
        other = homes.setdefault(service.host, home)
        if other != home:
            deciding |= {home, other}
    return frozenset(deciding)


def visible(world: World, entries: Iterable[CatalogEntry], namespace: str | None) -> Scope:
    """Choose what proxies of a namespace may see; None: of any that decides nothing.

    A host of two namespaces is the proxy's own namespace's, else the first one's by source
    order; the other is reported.
    """
    seen = sorted(
        (entry for entry in entries if _is_exported(entry, namespace)), key=world.precedence
    )
    chosen: dict[Hostname, CatalogEntry] = {}
    for entry in seen:
        if (entry.service.namespace or "") == namespace:
            chosen[entry.service.host] = entry
        else:
            chosen.setdefault(entry.service.host, entry)
    faults = tuple(
        GenerationError(
            f"the host {entry.service.host} of namespace {entry.key.namespace!r} is hidden by "
            f"that of namespace {winner.key.namespace!r}; give one of them another host, or "
            "export it to its own namespace only",
            name=str(entry.service.host),
        )
        for entry in seen
        if (winner := chosen[entry.service.host]) is not entry
    )
    services = (entry.service for entry in seen if chosen[entry.service.host] is entry)
    return Scope(seen_from=namespace, services=tuple(services), faults=faults)


def _is_exported(entry: CatalogEntry, namespace: str | None) -> bool:
    export_to = entry.service.export_to
    if "*" in export_to:
        return True
    return namespace in export_to or ("." in export_to and namespace == entry.key.namespace)


def own_ports(world: World, addresses: tuple[str, ...], network: str) -> tuple[OwnPort, ...]:
    """The ports of the workload at these addresses, in order of precedence.

    A proxy that names no network is taken to be on each (as an endpoint that names none).
    """
    found = []
    for address in addresses:
        for entry in sorted(world.catalog.at_address(address), key=world.precedence):
            for endpoint in entry.endpoints:
                if endpoint.address != address or not is_reachable(endpoint, network):
                    continue
                port = entry.service.port(endpoint.service_port)
                if port is not None and port.protocol is not Protocol.UDP and endpoint.port:
                    found.append(
                        OwnPort(
                            address=address,
                            number=endpoint.port,
                            host=entry.service.host,
                            port=port,
                            namespace=entry.service.namespace or "",
                        )
                    )
    return tuple(dict.fromkeys(found))


def own_places(own: tuple[OwnPort, ...]) -> frozenset[Place]:
    """Where the workload itself listens, and where its sidecar does for it."""
    return frozenset(
        Place(address, one.number) for one in own for address in (LOCALHOST, one.address)
    )


def is_reachable(endpoint: Endpoint, network: str) -> bool:
    """Whether an endpoint is on the proxy's network, or one of them does not say."""
    return not endpoint.network or not network or endpoint.network == network
