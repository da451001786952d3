"""Settings of the whole mesh, by the names of Istio's MeshConfig where one exists."""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING, Literal

from attrs import field, frozen
from attrs.validators import and_, ge, in_, instance_of, le, optional

from meshregistry.documents import Seconds
from meshregistry.model import AddressKind, Hostname, address_kind, canonical_address

if TYPE_CHECKING:
    from collections.abc import Iterable

    from attrs import Attribute

_HIGHEST_PORT = 65535
_ALL = 100.0
_SHORTEST, _LONGEST = 0.001, 86_400.0
# What can stand between commas and equals signs, and be the name of a document.
_QUOTA_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")


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


def _are_addresses(settings: object, attribute: Attribute[str], value: str) -> None:
    for one in value.split(",") if value else ():
        _is_host_and_port(settings, attribute, one.strip())


def _places(addresses: str) -> tuple[tuple[str, int], ...]:
    """Host, without brackets, and port of each."""
    found = (one.strip().rpartition(":") for one in addresses.split(",") if one)
    return tuple((host.strip("[]"), int(port)) for host, _, port in found)


def _are_quotas(
    _settings: object, attribute: Attribute[dict[str, int]], value: dict[str, int]
) -> None:
    for name, amount in value.items():
        if not _QUOTA_NAME.fullmatch(name):
            msg = f"{attribute.name} has {name!r}: write the short name of a quota instance"
            raise ValueError(msg)
        if type(amount) is not int or amount < 1:
            raise ValueError(f"{attribute.name} has {amount!r} for {name}: charge at least 1")


def _are_headers(
    _settings: object, attribute: Attribute[tuple[str, ...]], value: tuple[str, ...]
) -> None:
    for name in value:
        if not _HEADER_NAME.fullmatch(name):
            msg = f"{attribute.name} has {name!r}: write names of headers in lower case"
            raise ValueError(msg)


def _words(given: Iterable[str]) -> tuple[str, ...]:
    return tuple(given)


@frozen(kw_only=True)
class MixerSettings:
    """Whom proxies ask before requests and tell of them after (MeshConfig.mixerCheckServer …).

    Attributes:
        check: address of the Mixer server that is asked, ``host:port``, or of several that
            take turns, with commas between them; empty: nobody is.
        report: address of the one that is told, or of several; empty: nobody is.
        fail_open: whether requests go on when the server gives no answer
            (MeshConfig.policyCheckFailOpen).
        timeout: seconds that it may take for one.
        quotas: what each checked request is charged, as amounts by the short names of quota
            instances; the rules of Mixer say which of them are for which requests.
        tcp_report_interval: seconds between reports of a connection that stays open.
        request_headers: of the request that reports have beside the usual ones.
        response_headers: of the response, likewise.

    Raises:
        ValueError: if an address is malformed, or another value is out of its range.
    """

    check: str = field(default="", validator=[instance_of(str), _are_addresses])
    report: str = field(default="", validator=[instance_of(str), _are_addresses])
    fail_open: bool = field(default=False, validator=instance_of(bool))
    timeout: Seconds = field(default=Seconds(5.0), validator=_is_length_of_time)
    quotas: dict[str, int] = field(factory=dict, converter=dict, validator=_are_quotas, hash=False)
    tcp_report_interval: Seconds = field(default=Seconds(10.0), validator=_is_length_of_time)
    request_headers: tuple[str, ...] = field(default=(), converter=_words, validator=_are_headers)
    response_headers: tuple[str, ...] = field(default=(), converter=_words, validator=_are_headers)

    @property
    def checkers(self) -> tuple[tuple[str, int], ...]:
        """Host and port of each server that is asked."""
        return _places(self.check)

    @property
    def reporters(self) -> tuple[tuple[str, int], ...]:
        """Host and port of each server that is told."""
        return _places(self.report)


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
        tracing: where proxies report the spans of requests; None: nowhere.
        mixer: whom they ask before requests and tell of them after; None: nobody.
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
    mixer: MixerSettings | None = field(
        default=None, validator=optional(instance_of(MixerSettings))
    )
    root_namespace: str = field(default="istio-system", validator=instance_of(str))
