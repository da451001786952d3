"""What is kept of the API's objects: only the fields in use."""

from __future__ import annotations

from attrs import field, frozen

from meshregistry.model import Health, Labels, Locality

Key = tuple[str, str]
"""Namespace (empty at cluster scope) and name."""

SERVICE_NAME = "kubernetes.io/service-name"
REGION = "topology.kubernetes.io/region"
ZONE = "topology.kubernetes.io/zone"
SUBZONE = "topology.istio.io/subzone"
HOSTNAME = "kubernetes.io/hostname"
NETWORK = "topology.istio.io/network"


@frozen
class ServicePort:
    """One port as the service declares it; `transport` is TCP, UDP or SCTP."""

    name: str
    number: int
    transport: str = "TCP"
    app_protocol: str = ""
    node_port: int = 0


@frozen(kw_only=True)
class KeptService:
    """What is used of a Service.

    Attributes:
        key: namespace and name.
        uid: tells a service from one that had its name before.
        kind: its ``spec.type``.
        is_headless: whether it has no virtual address on purpose.
        cluster_ips: virtual addresses inside the cluster.
        families: IPv4, IPv6, in order of preference.
        ports: as declared.
        external_name: of the type ExternalName.
        external: addresses of load balancers (IPs or names), and whether each is an IP to
            which the cluster itself answers.
        external_ips: further addresses to which every node answers.
        is_local: whether only nodes with endpoints take traffic from outside.
        labels: of the service.
        export_to: namespaces that may see it.
    """

    key: Key
    uid: str = ""
    kind: str = "ClusterIP"
    is_headless: bool = False
    cluster_ips: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    ports: tuple[ServicePort, ...] = ()
    external_name: str = ""
    external: tuple[tuple[str, bool], ...] = ()
    external_ips: tuple[str, ...] = ()
    is_local: bool = False
    labels: Labels = field(factory=Labels)
    export_to: tuple[str, ...] = ("*",)


@frozen
class SliceEndpoint:
    """One address of an EndpointSlice; of its addresses only the first has a meaning."""

    address: str
    health: Health = Health.HEALTHY
    pod: Key | None = None
    pod_uid: str = ""
    node: str = ""
    zone: str = ""
    hints: tuple[str, ...] = ()


@frozen
class Group:
    """Endpoints that share their ports: name of the service's port, and number there.

    No number means that every port is open.
    """

    ports: tuple[tuple[str, int | None], ...]
    endpoints: tuple[SliceEndpoint, ...]


@frozen
class KeptSlice:
    """What is used of an EndpointSlice, or of an Endpoints object, which has several groups."""

    key: Key
    service: Key
    groups: tuple[Group, ...] = ()
    uid: str = ""


@frozen
class KeptPod:
    """What is used of a Pod; `workload` is what made it, by kind and name (`_workload`)."""

    key: Key
    uid: str = ""
    labels: Labels = field(factory=Labels)
    account: str = ""
    host: str = ""
    workload: tuple[str, str] = ("", "")


@frozen(kw_only=True)
class KeptNode:
    """What is used of a Node; addresses are there only if the whole node was asked for."""

    key: Key
    uid: str = ""
    locality: Locality = Locality()
    hostname: str = ""
    external_ips: tuple[str, ...] = ()
    internal_ips: tuple[str, ...] = ()
    is_ready: bool = True


@frozen
class KeptNamespace:
    """A namespace that was selected."""

    key: Key
    uid: str = ""


@frozen
class Broken:
    """An object that cannot be understood; `service` is the one that suffers, if any does."""

    key: Key
    reason: str
    service: Key | None = None
    uid: str = ""


Kept = KeptService | KeptSlice | KeptPod | KeptNode | KeptNamespace | Broken
