"""By which names a service may be called, and who gets a name that two would have.

Envoy refuses a route configuration in which two virtual hosts share a domain, and compares
domains without regard to case; so they are allotted here, to one owner each.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple

from meshregistry.model import Protocol, Resolution

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from meshregistry.model import Port, Service


class Claim(enum.IntEnum):
    """How good a claim to a domain is; a better one wins, then precedence."""

    WHOLE = 0
    DERIVED = 1
    ADDRESS = 2


class Wish(NamedTuple):
    """A domain that an owner would like to have."""

    claim: Claim
    domain: str


class Collision(NamedTuple):
    """A domain, who has it (by place in the order of owners), and who does not."""

    domain: str
    winner: int
    loser: int


def allot(
    wishes: Sequence[Iterable[Wish]],
) -> tuple[list[tuple[str, ...]], list[Collision]]:
    """Give each domain to the best claim, the earliest owner among equals.

    Owners are in order of precedence. Returns the domains of each owner, in the order of
    its wishes, and the collisions.
    """
    holders: dict[str, tuple[Claim, int]] = {}
    for owner, own in enumerate(wishes):
        for claim, domain in own:
            key = domain.lower()
            held = holders.get(key)
            if held is None or claim < held[0]:
                holders[key] = (claim, owner)
    allotted = []
    collisions = []
    for owner, own in enumerate(wishes):
        domains = {}
        for _, domain in own:
            winner = holders[domain.lower()][1]
            if winner == owner:
                domains[domain.lower()] = domain
            else:
                collisions.append(Collision(domain, winner, owner))
        allotted.append(tuple(domains.values()))
    return allotted, collisions


def sidecar_wishes(service: Service, namespace: str, mesh_domain: str) -> list[Wish]:
    """The names by which a workload of a namespace may call a service.

    Its host (also as a fully qualified name with its final dot), for hosts of the mesh the
    shorter forms that a resolver's search list would complete, for headless services the
    names of their members, and virtual addresses. Ports play no part: the listener ignores
    them in the Host header.
    """
    host = service.host
    wishes = [Wish(Claim.WHOLE, host)]
    if not host.is_wildcard:
        wishes.append(Wish(Claim.WHOLE, f"{host}."))
        wishes += (
            Wish(Claim.DERIVED, short) for short in short_names(service, namespace, mesh_domain)
        )
        if service.resolution is Resolution.PASSTHROUGH:
            wishes.append(Wish(Claim.DERIVED, f"*.{host}"))
    wishes += (
        Wish(Claim.ADDRESS, f"[{address}]" if ":" in address else address)
        for address in service.addresses
        if address not in _UNSPECIFIED
    )
    return wishes


_UNSPECIFIED = ("0.0.0.0", "::")


def short_names(service: Service, namespace: str, mesh_domain: str) -> list[str]:
    """The shorter forms of a host of the mesh, as seen from a namespace.

    `name.ns.svc.domain` is also `name.ns.svc` and `name.ns`, and `name` within its own
    namespace; `name.ns.domain` is also `name.ns`, and `name` within its own namespace.
    """
    home = service.namespace
    if not home:
        return []
    for middle in (f".{home}.svc", f".{home}"):
        suffix = f"{middle}.{mesh_domain}"
        if service.host.endswith(suffix):
            name = service.host.removesuffix(suffix)
            forms = [name] if namespace == home else []
            forms.append(f"{name}.{home}")
            if middle.endswith(".svc"):
                forms.append(f"{name}.{home}.svc")
            return forms
    return []


def router_wishes(service: Service, port: Port, http_port: int) -> list[Wish]:
    """The names by which a client of a router may call a service's port.

    `host:port` is exact; the bare host means the lowest HTTP port, and so does the host with
    the router's own port, which clients add to the Host header unless it is 80.
    """
    wishes = [Wish(Claim.WHOLE, f"{service.host}:{port.number}")]
    lowest = next(own for own in service.ports if is_routed(own))
    if port == lowest:
        wishes.append(Wish(Claim.DERIVED, service.host))
        if all(own.number != http_port for own in service.ports if is_routed(own)):
            wishes.append(Wish(Claim.DERIVED, f"{service.host}:{http_port}"))
    return wishes


def host_wishes(host: str, http_port: int | None = None) -> list[Wish]:
    """The names of a host that only a rule knows; with the port that clients may add to it."""
    wishes = [Wish(Claim.DERIVED, host)]
    if http_port is not None:
        wishes.append(Wish(Claim.DERIVED, f"{host}:{http_port}"))
    return wishes


def is_routed(port: Port) -> bool:
    """Whether a port's traffic is routed by host name."""
    return port.protocol.is_http and port.protocol is not Protocol.UDP
