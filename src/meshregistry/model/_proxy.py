"""Proxies: what one claims, what we make of it, and what may influence its configuration."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from meshregistry.errors import RemoteAdsError
from meshregistry.model._endpoint import (
    AddressKind,
    Locality,
    address_kind,
    canonical_address,
)
from meshregistry.model._names import Labels, to_labels

_NODE_PARTS = 4


class ProxyRole(enum.Enum):
    """What a proxy is for. The value is the first part of its node id."""

    SIDECAR = "sidecar"
    ROUTER = "router"
    PROXYLESS = "proxyless"

    def __str__(self) -> str:
        return self.value


@frozen(kw_only=True)
class Node:
    """What an xDS client claims about itself (``core.v3.Node``), unchecked.

    Attributes:
        id: any text that is not empty.
        cluster: the client's own word for its group.
        metadata: plain JSON values.
        locality: region, zone, sub-zone.
        user_agent_name: such as ``envoy`` or ``gRPC Python``.
        user_agent_version: its version, as text.
        client_features: as listed by the xDS protocol.
    """

    id: str
    cluster: str = ""
    metadata: Mapping[str, Any] = field(factory=dict, hash=False)
    locality: Locality = Locality()
    user_agent_name: str = ""
    user_agent_version: str = ""
    client_features: frozenset[str] = frozenset()


@frozen(kw_only=True)
class Proxy:
    """A node after identification.

    Attributes:
        node_id: as the node sent it.
        role: sidecar, router or proxyless.
        addresses: its own addresses, canonical; the first is where inbound listeners bind.
        namespace: of its workload; empty if it has none.
        labels: of its workload.
        locality: region, zone, sub-zone.
        network: the network that it is in.
        cluster: the cluster that it is in (a name, not an Envoy cluster).
    """

    node_id: str
    role: ProxyRole
    addresses: tuple[str, ...] = ()
    namespace: str = ""
    labels: Labels = field(factory=Labels, converter=to_labels)
    locality: Locality = Locality()
    network: str = ""
    cluster: str = ""

    @classmethod
    def identify(cls, node: Node) -> Proxy:
        """Read a node the way Istio's proxies describe themselves.

        A node id ``role~address~id~domain`` gives role, address and (from the domain's
        first label) namespace; metadata ``INSTANCE_IPS``, ``NAMESPACE``, ``LABELS``,
        ``NETWORK`` and ``CLUSTER_ID`` add to it and win. Any other id is a router, unless
        the user agent is gRPC's.

        Raises:
            RemoteAdsError: if the id has a ``~`` and is not of that form, or no address
                in it is valid.
        """
        meta = node.metadata
        namespace = _text(meta, "NAMESPACE")
        if "~" in node.id:
            role, addresses, own = _parse_id(node.id, _text(meta, "INSTANCE_IPS"))
            namespace = namespace or own
        else:
            is_grpc = node.user_agent_name.lower().startswith("grpc")
            role = ProxyRole.PROXYLESS if is_grpc else ProxyRole.ROUTER
            addresses = ()
        labels = meta.get("LABELS")
        return cls(
            node_id=node.id,
            role=role,
            addresses=addresses,
            namespace=namespace,
            labels=Labels(
                {k: v for k, v in labels.items() if isinstance(v, str)}
                if isinstance(labels, Mapping)
                else {}
            ),
            locality=node.locality,
            network=_text(meta, "NETWORK"),
            cluster=_text(meta, "CLUSTER_ID"),
        )


@frozen(kw_only=True, cache_hash=True)
class ProxyKey:
    """The part of a proxy that may influence its configuration, and nothing more.

    Proxies with equal keys get the same resource set. A fact that no generator needs for
    a role is left empty, so that proxies which differ only in it share a set.

    Attributes:
        role: as of the proxy.
        namespace: as of the proxy.
        addresses: those of the proxy at which the world knows an endpoint; empty for
            routers, and for sidecars that only call others.
        network: as of the proxy.
        locality: as of the proxy, where a generator reads it.
        labels: only those whose keys some selector of the world names.
    """

    role: ProxyRole
    namespace: str = ""
    addresses: tuple[str, ...] = ()
    network: str = ""
    locality: Locality = Locality()
    labels: Labels = field(factory=Labels, converter=to_labels)

    def __str__(self) -> str:
        where = ",".join(self.addresses) or "*"
        return f"{self.role}~{where}~{self.namespace}"


def _text(metadata: Mapping[str, Any], key: str) -> str:
    value = metadata.get(key, "")
    return value if isinstance(value, str) else ""


def _parse_id(node_id: str, instance_ips: str) -> tuple[ProxyRole, tuple[str, ...], str]:
    parts = node_id.split("~")
    if len(parts) != _NODE_PARTS:
        msg = f"the node id {node_id!r} is malformed: write role~address~id~domain"
        raise RemoteAdsError(msg)
    name, address, _, domain = parts
    try:
        # 0.4 called a router at the edge "ingress"; it is the same role.
        role = ProxyRole("router" if name == "ingress" else name)
    except ValueError:
        known = ", ".join(role.value for role in ProxyRole)
        msg = f"the node id {node_id!r} has the unknown role {name!r}: use one of {known}"
        raise RemoteAdsError(msg) from None
    addresses = _valid(instance_ips.split(",")) or _valid([address])
    if not addresses:
        msg = f"the node id {node_id!r} has no valid address: its second part must be an IP"
        raise RemoteAdsError(msg)
    return role, addresses, domain.partition(".")[0]


def _valid(addresses: list[str]) -> tuple[str, ...]:
    found = []
    for address in addresses:
        try:
            canonical = canonical_address(address.strip())
        except ValueError:
            continue
        if address_kind(canonical) is AddressKind.IP:
            found.append(canonical)
    return tuple(dict.fromkeys(found))
