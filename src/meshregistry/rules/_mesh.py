"""Settings of the whole mesh, by the names of Istio's MeshConfig where one exists."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Literal

from attrs import field, frozen
from attrs.validators import and_, ge, in_, instance_of, le, optional

from meshregistry.documents import Seconds
from meshregistry.model import AddressKind, Hostname, address_kind, canonical_address

if TYPE_CHECKING:
    from attrs import Attribute

_HIGHEST_PORT = 65535
_ALL = 100.0
_SHORTEST, _LONGEST = 0.001, 86_400.0


class OutboundTrafficPolicy(enum.Enum):
    """What a sidecar does with a host that no service has (MeshConfig.outboundTrafficPolicy).

    ALLOW_ANY lets it pass to where the caller sent it, REGISTRY_ONLY answers 502.
    """

    ALLOW_ANY = "ALLOW_ANY"
    REGISTRY_ONLY = "REGISTRY_ONLY"

    def __str__(self) -> str:
        return self.value


def _is_length_of_time(_settings: object, attribute: Attribute[Seconds], value: Seconds) -> None:
    if not _SHORTEST <= value <= _LONGEST:
        msg = f"{attribute.name} is {value} s: it must be from 1ms to 24h, such as 1s"
        raise ValueError(msg)


def _is_ip(_settings: object, attribute: Attribute[str], value: str) -> None:
    if address_kind(value) is not AddressKind.IP:
        msg = f"{attribute.name} is {value!r}: it must be an IP address to bind to, such as 0.0.0.0"
        raise ValueError(msg)


@frozen(kw_only=True)
class RouterSettings:
    """What routers (Envoys at the edge, with any node id) listen on.

    Attributes:
        address: the IP address that their listeners bind.
        http_port: where they take HTTP requests for every host of the mesh.
        tcp: whether each declared TCP port of the mesh gets a listener, too.

    Raises:
        ValueError: if the address is not an IP or the port is not from 1 to 65535.
    """

    address: str = field(
        default="127.0.0.1", converter=canonical_address, validator=[instance_of(str), _is_ip]
    )
    http_port: int = field(
        default=10_000, validator=and_(instance_of(int), ge(1), le(_HIGHEST_PORT))
    )
    tcp: bool = field(default=False, validator=instance_of(bool))


@frozen(kw_only=True)
class LocalityLbSettings:
    """The mesh's default of balancing between localities (MeshConfig.localityLbSetting).

    Attributes:
        enabled: whether services with outlier detection prefer endpoints near the caller,
            unless their destination rule says something else.
    """

    enabled: bool = field(default=True, validator=instance_of(bool))


def _is_host_and_port(_settings: object, attribute: Attribute[str], value: str) -> None:
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) <= _HIGHEST_PORT:
        msg = f"{attribute.name} is {value!r}: write host:port, such as 127.0.0.1:9411"
        raise ValueError(msg)


@frozen(kw_only=True)
class TracingSettings:
    """Where proxies report the spans of requests (MeshConfig.extensionProviders).

    Attributes:
        provider: what the collector speaks: Zipkin's HTTP interface, or OTLP over gRPC.
        address: of the collector, ``host:port``.
        sampling: percentage of the requests whose callers have not decided that are traced.

    Raises:
        ValueError: if the address is malformed, or the percentage none.
    """

    provider: Literal["zipkin", "opentelemetry"] = field(validator=in_(("zipkin", "opentelemetry")))
    address: str = field(validator=[instance_of(str), _is_host_and_port])
    sampling: float = field(default=1.0, validator=and_(ge(0.0), le(_ALL)))

    @property
    def host(self) -> str:
        """Of the address, without brackets."""
        return self.address.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """Of the address."""
        return int(self.address.rpartition(":")[2])


@frozen(kw_only=True)
class MeshSettings:
    """The `mesh` part of the settings.

    Attributes:
        domain: the DNS suffix of the mesh. A host ``name.namespace.svc.domain`` or
            ``name.namespace.domain`` may be called by its shorter forms.
        connect_timeout: seconds that a new connection to an endpoint may take.
        outbound_traffic_policy: what sidecars do with unknown hosts.
        interception: how traffic reaches a sidecar. With ``none`` callers connect to its
            listeners on 127.0.0.1 themselves.
        healthy_panic_threshold: percentage of healthy endpoints below which Envoy sends
            to unhealthy ones, too; 0 means never.
        access_log_file: file for access logs on the proxy, such as ``/dev/stdout``; empty
            means none.
        router: what routers listen on.
        locality_lb_setting: whether near endpoints are preferred.
        root_namespace: whose destination policies are the defaults of the whole mesh.

    Raises:
        ValueError: if a value is out of its range.
    """

    domain: str = field(default="mesh.local", converter=Hostname)
    connect_timeout: Seconds = field(default=Seconds(1.0), validator=_is_length_of_time)
    outbound_traffic_policy: OutboundTrafficPolicy = field(
        default=OutboundTrafficPolicy.ALLOW_ANY,
        converter=OutboundTrafficPolicy,
        validator=instance_of(OutboundTrafficPolicy),
    )
    interception: Literal["none"] = field(default="none", validator=in_(("none",)))
    healthy_panic_threshold: float = field(default=0.0, validator=and_(ge(0.0), le(_ALL)))
    access_log_file: str = field(default="", validator=instance_of(str))
    router: RouterSettings = field(factory=RouterSettings, validator=instance_of(RouterSettings))
    locality_lb_setting: LocalityLbSettings = field(
        factory=LocalityLbSettings, validator=instance_of(LocalityLbSettings)
    )
    tracing: TracingSettings | None = field(
        default=None, validator=optional(instance_of(TracingSettings))
    )
    root_namespace: str = field(default="istio-system", validator=instance_of(str))
