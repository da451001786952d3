"""Names of clusters, listeners, route configurations and virtual hosts, as Istio forms them."""

from __future__ import annotations

from attrs import frozen

PASSTHROUGH_CLUSTER = "PassthroughCluster"
"""Where traffic goes that no service claims and that is let through."""

TRACING_CLUSTER = "tracing-collector"
"""Where spans go."""

MIXER_CHECK_CLUSTER = "mixer-check"
"""Whom proxies ask before requests."""

MIXER_REPORT_CLUSTER = "mixer-report"
"""Whom they tell of them after."""

BLACK_HOLE_CLUSTER = "BlackHoleCluster"
"""Where the share of a destination goes that is not there: it has no endpoints."""

_CLUSTER_PARTS = 4


@frozen
class ClusterName:
    """A cluster's name, taken apart: ``direction|port|subset|host``.

    Inbound clusters have neither subset nor host.
    """

    direction: str
    port: int
    subset: str = ""
    host: str = ""

    @classmethod
    def parse(cls, text: str) -> ClusterName:
        """Read a name that `str` has written.

        Raises:
            ValueError: if the text has another form.
        """
        parts = text.split("|")
        if len(parts) != _CLUSTER_PARTS or not parts[1].isdecimal():
            msg = f"{text!r} is not a cluster of a service: write direction|port|subset|host"
            raise ValueError(msg)
        return cls(parts[0], int(parts[1]), parts[2], parts[3])

    def __str__(self) -> str:
        return f"{self.direction}|{self.port}|{self.subset}|{self.host}"


def outbound_cluster(host: str, port: int, subset: str = "") -> str:
    """The cluster that leads to a service's port, or to a subset of its endpoints."""
    return f"outbound|{port}|{subset}|{host}"


def inbound_cluster(port: int) -> str:
    """The cluster that leads from a sidecar to its own workload's port."""
    return f"inbound|{port}||"


def listener(address: str, port: int) -> str:
    """The listener that is bound to this address."""
    return f"{address}_{port}"


def outbound_routes(port: int) -> str:
    """The route configuration of all HTTP services that sidecars reach on a port."""
    return str(port)


def router_routes(port: int) -> str:
    """The route configuration of a router's HTTP listener."""
    return f"http.{port}"


def outbound_host(host: str, port: int) -> str:
    """The virtual host of a service's port."""
    return f"{host}:{port}"


def inbound_host(service_port: int) -> str:
    """The virtual host of a sidecar's own service port."""
    return f"inbound|http|{service_port}"
