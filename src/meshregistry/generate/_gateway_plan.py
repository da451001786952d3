"""What the gateways that select a router make it listen for, before any message is made.

Servers of several gateways meet on one address and port. Plain HTTP servers share it, and
so do servers that tell their connections apart by server name (SNI); nothing else does.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple

from attrs import field, frozen

from meshregistry.errors import GenerationError
from meshregistry.generate import _naming
from meshregistry.generate._world import Place
from meshregistry.model import LISTENER
from meshregistry.rules import GatewayTlsMode, ServerProtocol, is_host_match

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from meshregistry.rules import Gateway, GatewayServer


class Manner(enum.Enum):
    """How the servers of a place tell what is for them: by request, by SNI, not at all."""

    HTTP = "HTTP"
    TLS = "TLS"
    TCP = "TCP"


class Served(NamedTuple):
    """A server with the gateway that it is of."""

    gateway: Gateway
    server: GatewayServer

    @property
    def routes(self) -> str:
        """The name of its route configuration, if it reads HTTP."""
        server, gateway = self.server, self.gateway
        bind = f".{server.bind}" if server.bind else ""
        if server.protocol is not ServerProtocol.HTTPS:
            return f"http.{server.port}{bind}"
        name = server.port_name or server.name
        return f"https.{server.port}.{name}.{gateway.name}.{gateway.namespace}{bind}"

    @property
    def server_names(self) -> tuple[str, ...]:
        """The SNI that its connections have; empty: any."""
        names = tuple(dict.fromkeys(host.partition("/")[2] for host in self.server.hosts))
        return () if "*" in names else names


@frozen(kw_only=True)
class Opening:
    """One address and port of a router, with the servers that share it."""

    place: Place
    manner: Manner
    served: tuple[Served, ...]


@frozen(kw_only=True)
class Plan:
    """All that the gateways ask for and can have, sorted by place; and what they cannot."""

    openings: tuple[Opening, ...] = ()
    faults: tuple[GenerationError, ...] = field(default=())


def gateway_plan(gateways: Iterable[Gateway], default_bind: str) -> Plan:
    """Give each server its place; the first gateway wins where two do not get along."""
    held: dict[Place, list[Served]] = {}
    faults = []
    for gateway in gateways:
        for server in gateway.servers:
            one = Served(gateway, server)
            place = Place(server.bind or default_bind, server.port)
            reason = _obstacle(one, held.get(place, []))
            if reason:
                name = _naming.listener(*place)
                faults.append(
                    GenerationError(
                        f"{server.origin} has no part in the listener {name}: {reason}",
                        type_url=LISTENER,
                        name=name,
                    )
                )
            else:
                held.setdefault(place, []).append(one)
    openings = (
        Opening(place=place, manner=_manner(served[0].server), served=tuple(served))
        for place, served in sorted(held.items(), key=lambda item: item[0])
    )
    return Plan(openings=tuple(openings), faults=tuple(faults))


def shared_host(of_server: str, of_rule: str, namespace: str) -> str | None:
    """The hosts that a server (``namespace/host``) and a rule of a namespace have in common.

    It is the narrower of the two; None if they have none.
    """
    home, _, own = of_server.partition("/")
    if home not in {"*", namespace}:
        return None
    if is_host_match(own, of_rule):
        return of_rule
    return own if is_host_match(of_rule, own) else None


def _manner(server: GatewayServer) -> Manner:
    if server.protocol in {ServerProtocol.HTTPS, ServerProtocol.TLS}:
        return Manner.TLS
    return Manner.HTTP if server.protocol.is_http else Manner.TCP


_UNAVAILABLE = {
    GatewayTlsMode.AUTO_PASSTHROUGH: "write PASSTHROUGH and a route for the server names",
    GatewayTlsMode.ISTIO_MUTUAL: "write MUTUAL with files",
}


def _obstacle(one: Served, held: list[Served]) -> str:
    """Why a server cannot join those of its place; empty if it can."""
    tls = one.server.tls
    if tls is not None and tls.mode is not None and tls.mode in _UNAVAILABLE:
        return f"the TLS mode {tls.mode.value} is not available; {_UNAVAILABLE[tls.mode]}"
    if tls is not None and tls.credential_names:
        return "certificates cannot be had by name; write serverCertificate and privateKey"
    return _conflict(one, held) if held else ""


def _conflict(one: Served, held: list[Served]) -> str:
    manner, first = _manner(one.server), held[0]
    if manner is not _manner(first.server):
        return f"{first.gateway.key} speaks {first.server.protocol.value} there; change the port"
    if manner is Manner.TCP:
        return f"nothing tells its connections from those of {first.gateway.key}; change the port"
    return _taken(one, held) if manner is Manner.TLS else ""


def _taken(one: Served, held: list[Served]) -> str:
    for other in held:
        both = set(one.server_names or ("*",)) & set(other.server_names or ("*",))
        if both:
            return f"{other.gateway.key} has the host {min(both)} there; leave it to one of them"
    return ""


def domains(served: Served, hosts: Iterable[str], namespace: str) -> Iterator[str]:
    """The domains of a rule's hosts at a server, each once."""
    found = (shared_host(own, host, namespace) for host in hosts for own in served.server.hosts)
    return iter(dict.fromkeys(domain for domain in found if domain is not None))
