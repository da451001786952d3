"""From what is kept of a service and its endpoints to a service record. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from attrs import evolve, frozen

from meshregistry.errors import RecordError
from meshregistry.model import (
    Endpoint,
    Health,
    Hostname,
    Labels,
    Locality,
    Port,
    Protocol,
    RecordKey,
    Resolution,
    Service,
    ServiceRecord,
)
from meshregistry_kubernetes._objects import (
    HOSTNAME,
    NETWORK,
    REGION,
    SUBZONE,
    ZONE,
    KeptPod,
    SliceEndpoint,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from meshregistry_kubernetes._objects import (
        KeptNode,
        KeptService,
        Key,
        ServicePort,
    )

FOR_ZONES = "endpointslice.kubernetes.io/for-zones"
"""Label with the zones that an endpoint is hinted for, joined by commas."""

POD_NAME = "meshregistry.io/pod-name"
HOST_IP = "meshregistry.io/host-ip"
WORKLOAD_NAME = "meshregistry.io/workload-name"
WORKLOAD_KIND = "meshregistry.io/workload-kind"
"""Labels by which others, such as Mixer's ``kubernetesenv``, learn what runs at an endpoint."""

_LOCALITY = "istio-locality"
_APP_PROTOCOLS = {
    "kubernetes.io/h2c": Protocol.HTTP2,
    "kubernetes.io/ws": Protocol.HTTP,
    "kubernetes.io/wss": Protocol.HTTPS,
}
# There the server speaks first, so the protocol cannot be found out from the client's bytes.
_SERVER_FIRST = {25, 53, 3306, 27017}
_IN_CLUSTER = re.compile(r"([^.]+)\.([^.]+)\.svc\.(.+)")
_DEFAULT_DOMAIN = "cluster.local"
_PREFERENCE = {Health.HEALTHY: 0, Health.DRAINING: 1, Health.UNHEALTHY: 2}


@frozen(kw_only=True)
class Conversion:
    """How to convert.

    Attributes:
        domain: what host names end in.
        trust_domain: of workload identities.
        addresses: whether services are reached at their pods or from outside.
        ip_family: which of a pod's addresses count.
    """

    domain: str
    trust_domain: str
    addresses: Literal["pods", "external"] = "pods"
    ip_family: Literal["first", "IPv4", "IPv6", "all"] = "first"


@frozen
class Member:
    """An endpoint of a service with its ports and, if known, its pod."""

    ports: tuple[tuple[str, int | None], ...]
    endpoint: SliceEndpoint
    pod: KeptPod | None = None


def record_key(key: Key) -> RecordKey:
    """How a service's record is called: ``namespace/name``."""
    return RecordKey("/".join(key))


def to_record(
    service: KeptService,
    members: Iterable[Member],
    nodes: Mapping[str, KeptNode],
    conversion: Conversion,
) -> ServiceRecord | None:
    """The record of a service; None if it has no port or, from outside, no way in.

    Raises:
        RecordError: if a value is not what our model can hold.
    """
    declared = _usable(service.ports)
    is_outside = conversion.addresses == "external"
    if not declared or (is_outside and not _is_exposed(service)):
        return None
    try:
        resolution, alias_of = _resolution(service, conversion)
        converted = Service(
            Hostname(host_name(service.key, conversion.domain)),
            ports=[Port(port_name(port), port.number, protocol(port)) for port in declared],
            resolution=resolution,
            alias_of=alias_of,
            addresses=() if is_outside else _virtual_addresses(service),
            labels=service.labels,
            namespace=service.key[0],
            is_external=resolution is Resolution.DNS,
            export_to=service.export_to,
        )
        if resolution is Resolution.ALIAS:
            endpoints: Iterable[Endpoint] = ()
        elif resolution is Resolution.DNS:
            endpoints = _elsewhere(service.external_name, declared)
        elif is_outside:
            endpoints = _outside(service, declared, [*members], nodes)
        else:
            endpoints = _inside(service, declared, [*members], nodes, conversion)
        return ServiceRecord(converted, endpoints, key=record_key(service.key))
    except ValueError as error:
        key = record_key(service.key)
        msg = f"the Service {key} cannot be represented: {error}; look at it with kubectl"
        raise RecordError(msg, key=key) from None


def host_name(key: Key, domain: str) -> str:
    """The cluster's own naming scheme (DNS-based service discovery), with the mesh's domain."""
    namespace, name = key
    return f"{name}.{namespace}.svc.{domain}"


def port_name(port: ServicePort) -> str:
    """The declared name; the only port of a service may go without one."""
    return port.name or f"port-{port.number}"


def protocol(port: ServicePort) -> Protocol:
    """``appProtocol`` counts before the port's name, of which the part before ``-`` counts."""
    if port.transport == "UDP":
        return Protocol.UDP
    special = _APP_PROTOCOLS.get(port.app_protocol)
    if special is not None:
        return special
    found = Protocol.from_port_name(port.app_protocol or port.name)
    if found is Protocol.UDP or (found is Protocol.UNSUPPORTED and port.number in _SERVER_FIRST):
        return Protocol.TCP
    return found


def _usable(ports: Iterable[ServicePort]) -> list[ServicePort]:
    """The ports that the model can hold: no SCTP, and of TCP and UDP on one number TCP."""
    by_number: dict[int, ServicePort] = {}
    for port in ports:
        if port.transport == "TCP" or (port.transport == "UDP" and port.number not in by_number):
            by_number[port.number] = port
    return list(by_number.values())


def _is_exposed(service: KeptService) -> bool:
    return service.kind in {"NodePort", "LoadBalancer", "ExternalName"} or bool(
        service.external_ips
    )


def _resolution(service: KeptService, conversion: Conversion) -> tuple[Resolution, Hostname | None]:
    """An ExternalName inside the cluster is another service; any other is for DNS to know."""
    if service.kind == "ExternalName":
        target = _IN_CLUSTER.fullmatch(service.external_name.lower().removesuffix("."))
        if target and target[3] in {_DEFAULT_DOMAIN, conversion.domain}:
            host = host_name((target[2], target[1]), conversion.domain)
            return Resolution.ALIAS, Hostname(host)
        return Resolution.DNS, None
    return (Resolution.PASSTHROUGH if service.is_headless else Resolution.EDS), None


def _virtual_addresses(service: KeptService) -> Iterator[str]:
    """Where the cluster answers for the service: its own addresses, then those from outside."""
    if service.kind == "ExternalName":
        return
    yield from service.cluster_ips
    yield from service.external_ips
    yield from (address for address, is_virtual in service.external if is_virtual)


# --- Endpoints ----------------------------------------------------------------------


def _elsewhere(name: str, ports: Iterable[ServicePort]) -> Iterator[Endpoint]:
    for port in ports:
        yield Endpoint(address=name, port=port.number, service_port=port_name(port))


def _inside(
    service: KeptService,
    declared: Iterable[ServicePort],
    members: list[Member],
    nodes: Mapping[str, KeptNode],
    conversion: Conversion,
) -> Iterable[Endpoint]:
    """One endpoint for each member and port.

    While an endpoint moves from one slice to another it is in both; the healthier copy
    counts.
    """
    ports = {port.name: port for port in declared}
    # Hints are to be used only if every endpoint has them.
    is_hinted = all(member.endpoint.hints for member in members)
    found: dict[tuple[str, int, str], Endpoint] = {}
    for member in _of_family(members, service, conversion):
        places = [
            (target or port.number, port_name(port))
            for name, target in member.ports
            if (port := ports.get(name)) is not None
        ]
        if not places:
            continue
        template = _pod_endpoint(member, places[0], nodes, conversion, is_hinted=is_hinted)
        for place in places:
            number, service_port = place
            endpoint = (
                template
                if place == places[0]
                else evolve(template, port=number, service_port=service_port)
            )
            key = (endpoint.address, number, service_port)
            other = found.get(key)
            if other is None or _PREFERENCE[endpoint.health] < _PREFERENCE[other.health]:
                found[key] = endpoint
    return found.values()


def _of_family(
    members: list[Member], service: KeptService, conversion: Conversion
) -> Iterator[Member]:
    """A dual-stack pod is in a slice of each family; it is one endpoint, not two."""
    wanted = conversion.ip_family
    if wanted == "all":
        yield from members
        return
    if wanted != "first":
        yield from (member for member in members if _family(member) == wanted)
        return
    rank = {family: place for place, family in enumerate(service.families)}
    best: dict[Key, int] = {}
    for member in members:
        if member.endpoint.pod is not None:
            place = rank.get(_family(member), len(rank))
            best[member.endpoint.pod] = min(place, best.get(member.endpoint.pod, place))
    for member in members:
        pod = member.endpoint.pod
        if pod is None or rank.get(_family(member), len(rank)) == best[pod]:
            yield member


def _family(member: Member) -> str:
    return "IPv6" if ":" in member.endpoint.address else "IPv4"


def _pod_endpoint(
    member: Member,
    place: tuple[int, str],
    nodes: Mapping[str, KeptNode],
    conversion: Conversion,
    *,
    is_hinted: bool,
) -> Endpoint:
    endpoint, pod = member.endpoint, member.pod
    node = nodes.get(endpoint.node)
    labels = dict(pod.labels) if pod else {}
    locality = _locality(endpoint, labels, node)
    network = labels.get(NETWORK, "")
    kind, workload = pod.workload if pod else ("", "")
    added = {
        POD_NAME: endpoint.pod[1] if endpoint.pod else "",
        HOST_IP: pod.host if pod else "",
        WORKLOAD_NAME: workload,
        WORKLOAD_KIND: kind,
        REGION: locality.region,
        ZONE: locality.zone,
        SUBZONE: locality.sub_zone,
        HOSTNAME: node.hostname if node else endpoint.node,
        FOR_ZONES: ",".join(endpoint.hints) if is_hinted else "",
    }
    labels |= {name: value for name, value in added.items() if value}
    identity = ""
    if pod and pod.account:
        identity = f"spiffe://{conversion.trust_domain}/ns/{pod.key[0]}/sa/{pod.account}"
    number, service_port = place
    return Endpoint(
        address=endpoint.address,
        port=number,
        service_port=service_port,
        network=network,
        workload_identity=identity,
        locality=locality,
        health=endpoint.health,
        labels=Labels(labels),
    )


def _locality(
    endpoint: SliceEndpoint, labels: Mapping[str, str], node: KeptNode | None
) -> Locality:
    """The pod's own word (with dots for slashes, as label values go), its node's, its zone's.

    More than three parts are no reason to do without the endpoint.
    """
    own = labels.get(_LOCALITY)
    if own:
        return Locality(*own.replace(".", "/").split("/")[:3])
    if node is None:
        return Locality(zone=endpoint.zone)
    if endpoint.zone and endpoint.zone != node.locality.zone:
        return evolve(node.locality, zone=endpoint.zone)
    return node.locality


def _outside(
    service: KeptService,
    declared: Iterable[ServicePort],
    members: list[Member],
    nodes: Mapping[str, KeptNode],
) -> Iterator[Endpoint]:
    """The service from outside: its load balancers, else its external IPs, else node ports."""
    addresses = dict.fromkeys((*(at for at, _ in service.external), *service.external_ips))
    for port in declared:
        for address in addresses:
            yield Endpoint(address=address, port=port.number, service_port=port_name(port))
        if not addresses and port.node_port:
            yield from _node_ports(service, port, members, nodes)


def _node_ports(
    service: KeptService,
    port: ServicePort,
    members: list[Member],
    nodes: Mapping[str, KeptNode],
) -> Iterator[Endpoint]:
    """Every node answers; with the policy Local only those that run a ready endpoint."""
    serving = {one.endpoint.node for one in members if one.endpoint.health is Health.HEALTHY}
    for name, node in nodes.items():
        if service.is_local and name not in serving:
            continue
        for address in (node.external_ips or node.internal_ips)[:1]:
            yield Endpoint(
                address=address,
                port=port.node_port,
                service_port=port_name(port),
                locality=node.locality,
                health=Health.HEALTHY if node.is_ready else Health.UNHEALTHY,
                labels={HOSTNAME: node.hostname},
            )
