"""Proxy identity and server address to an Envoy bootstrap document; pure.

The document is the JSON form of ``envoy.config.bootstrap.v3.Bootstrap``, made without
protobuf, so that it can be printed where no Envoy messages are installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from meshregistry.model import AddressKind, ProxyRole, address_kind, canonical_address

if TYPE_CHECKING:
    from collections.abc import Mapping

XDS_CLUSTER = "xds-grpc"
"""The static cluster that leads to the control plane, by Istio's name for it."""

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_KEEPALIVE_SECONDS = 30


def node_id(role: ProxyRole, *, address: str, name: str, domain: str) -> str:
    """The four-part id ``role~address~name~domain`` that a proxy identifies itself by."""
    return f"{role}~{canonical_address(address)}~{name}~{domain}"


def bootstrap(
    *,
    node: str,
    cluster: str,
    xds: str,
    admin: str | None = "127.0.0.1:0",
    protocol: Literal["sotw", "delta"] = "delta",
    metadata: Mapping[str, Any] | None = None,
    connect_timeout: float = 1.0,
    statsd: str | None = None,
) -> dict[str, Any]:
    """The bootstrap of an Envoy that gets everything over one ADS stream.

    Args:
        node: the node id.
        cluster: the node's cluster; Envoy refuses to start without one.
        xds: address of the control plane, ``host:port`` or ``unix:///path``.
        admin: where Envoy's own admin interface listens; None turns it off.
        protocol: the variant of xDS: state of the world, or incremental.
        metadata: of the node, such as ``{"NAMESPACE": "shop"}``.
        connect_timeout: seconds to reach the control plane.
        statsd: where Envoy sends its figures over UDP, ``address:port``; None: nowhere.

    Raises:
        ValueError: if an address is malformed.
    """
    api_type = "DELTA_GRPC" if protocol == "delta" else "GRPC"
    # Without an explicit HTTP/2 option Envoy never connects and says nothing of it. An
    # initial fetch timeout of 0 makes it wait for us rather than start half-configured.
    ads: dict[str, Any] = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}
    document: dict[str, Any] = {
        "node": {"id": node, "cluster": cluster, "metadata": dict(metadata or {})},
        "dynamic_resources": {
            "ads_config": {
                "api_type": api_type,
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [{"envoy_grpc": {"cluster_name": XDS_CLUSTER}}],
            },
            "cds_config": ads,
            "lds_config": dict(ads),
        },
        "static_resources": {"clusters": [_xds_cluster(xds, connect_timeout)]},
    }
    if not document["node"]["metadata"]:
        del document["node"]["metadata"]
    if admin is not None:
        document["admin"] = {"address": _address(admin)}
    if statsd is not None:
        document["stats_sinks"] = [_statsd_sink(statsd)]
    return document


def _statsd_sink(where: str) -> dict[str, Any]:
    address = _address(where)
    socket = address.get("socket_address")
    if socket is None or address_kind(socket["address"]) is not AddressKind.IP:
        msg = f"{where!r} cannot be sent statistics: write an IP address and a port"
        raise ValueError(msg)
    socket["protocol"] = "UDP"
    return {
        "name": "envoy.stat_sinks.statsd",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.config.metrics.v3.StatsdSink",
            "address": address,
        },
    }


def _xds_cluster(xds: str, connect_timeout: float) -> dict[str, Any]:
    where = _address(xds)
    host = where.get("socket_address", {}).get("address", "")
    is_name = bool(host) and address_kind(host) is AddressKind.DNS
    return {
        "name": XDS_CLUSTER,
        "type": "STRICT_DNS" if is_name else "STATIC",
        "connect_timeout": f"{connect_timeout:g}s",
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: {
                "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
                "explicit_http_config": {
                    "http2_protocol_options": {
                        "connection_keepalive": {
                            "interval": f"{_KEEPALIVE_SECONDS}s",
                            "timeout": f"{_KEEPALIVE_SECONDS / 3:g}s",
                        }
                    }
                },
            }
        },
        "load_assignment": {
            "cluster_name": XDS_CLUSTER,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": where}}]}],
        },
    }


def _address(text: str) -> dict[str, Any]:
    if text.startswith("unix:"):
        return {"pipe": {"path": canonical_address(text).removeprefix("unix://")}}
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isdecimal()):
        msg = f"{text!r} is not an address: write host:port or unix:///path"
        raise ValueError(msg)
    return {
        "socket_address": {
            "address": canonical_address(host.strip("[]")),
            "port_value": int(port),
        }
    }
