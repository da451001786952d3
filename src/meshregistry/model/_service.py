"""Services and what one source says of them."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from attrs import Factory, evolve, field, frozen
from attrs.converters import optional
from attrs.validators import and_, ge, instance_of, le, min_len

from meshregistry.model._endpoint import Endpoint, EndpointKey, canonical_address
from meshregistry.model._names import Hostname, Labels, RecordKey, ServiceKey, to_labels

if TYPE_CHECKING:
    from collections.abc import Iterable


class Protocol(enum.Enum):
    """What a port speaks, by Istio's names."""

    HTTP = "HTTP"
    HTTP2 = "HTTP2"
    HTTP_PROXY = "HTTP_PROXY"
    HTTPS = "HTTPS"
    GRPC = "GRPC"
    GRPC_WEB = "GRPC-Web"
    TCP = "TCP"
    TLS = "TLS"
    UDP = "UDP"
    MONGO = "Mongo"
    REDIS = "Redis"
    MYSQL = "MySQL"
    UNSUPPORTED = "UnsupportedProtocol"

    @classmethod
    def parse(cls, text: str) -> Protocol:
        """Read a protocol's name without regard to case.

        Raises:
            ValueError: if there is no such protocol.
        """
        wanted = text.upper().replace("_", "-")
        for protocol in cls:
            if protocol.value.upper().replace("_", "-") == wanted:
                return protocol
        names = ", ".join(p.value for p in cls if p is not cls.UNSUPPORTED)
        msg = f"{text!r} is not a protocol: use one of {names}"
        raise ValueError(msg)

    @classmethod
    def from_port_name(cls, name: str) -> Protocol:
        """The convention of Istio: the name's part before the first hyphen.

        Anything else is UNSUPPORTED, which means that the traffic is not known.
        """
        prefix = "grpc-web" if name.lower().startswith("grpc-web") else name.partition("-")[0]
        try:
            return cls.parse(prefix)
        except ValueError:
            return cls.UNSUPPORTED

    @property
    def is_http(self) -> bool:
        """Whether a proxy routes it by host name and path."""
        return self in _HTTP

    @property
    def is_http2(self) -> bool:
        """Whether its upstream connections are HTTP/2 from the first byte."""
        return self in _HTTP2

    @property
    def is_tls(self) -> bool:
        """Whether the traffic is encrypted from end to end."""
        return self in _TLS

    @property
    def is_tcp(self) -> bool:
        """Whether a proxy forwards its bytes as they are; UNSUPPORTED counts as such."""
        return not self.is_http and self is not Protocol.UDP

    def __str__(self) -> str:
        return self.value


_HTTP = frozenset(
    {Protocol.HTTP, Protocol.HTTP2, Protocol.HTTP_PROXY, Protocol.GRPC, Protocol.GRPC_WEB}
)
_HTTP2 = frozenset({Protocol.HTTP2, Protocol.GRPC, Protocol.GRPC_WEB})
_TLS = frozenset({Protocol.HTTPS, Protocol.TLS})


class Resolution(enum.Enum):
    """How a proxy finds the endpoints of a service.

    EDS: from the control plane. DNS: by resolving names itself. PASSTHROUGH: it forwards
    to the address that the caller chose (a headless service). ALIAS: another host's.
    """

    EDS = "EDS"
    DNS = "DNS"
    PASSTHROUGH = "PASSTHROUGH"
    ALIAS = "ALIAS"

    def __str__(self) -> str:
        return self.value


@frozen(order=False)
class Port:
    """One declared port of a service; endpoints refer to it by its name.

    Raises:
        ValueError: if the number is not from 1 to 65535 or the name is empty.
    """

    name: str = field(validator=and_(instance_of(str), min_len(1)))
    number: int = field(validator=and_(instance_of(int), ge(1), le(65535)))
    protocol: Protocol = field(default=Protocol.UNSUPPORTED, validator=instance_of(Protocol))

    def __str__(self) -> str:
        return f"{self.name}:{self.number}/{self.protocol}"


def _ports(ports: Iterable[Port]) -> tuple[Port, ...]:
    return tuple(sorted(ports, key=lambda port: (port.number, port.name)))


def _addresses(addresses: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(canonical_address(address) for address in addresses))


def _export_to(namespaces: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(namespaces)))


@frozen
class Service:
    """A host name, its ports and how to resolve it; no endpoints.

    Attributes:
        host: the name that callers use.
        ports: declared ports, sorted by number; names and numbers are unique.
        resolution: how a proxy finds its endpoints.
        addresses: virtual addresses (VIPs), in order of preference.
        labels: of the service itself.
        namespace: where the host lives; None leaves it to the source's settings.
        is_external: whether it runs outside the mesh.
        alias_of: the host that an ALIAS stands for.
        export_to: namespaces that may see it: ``*`` all, ``.`` its own.

    Raises:
        ValueError: if two ports share a name or a number, or `alias_of` and `resolution`
            disagree.
    """

    host: Hostname = field(converter=Hostname)
    ports: tuple[Port, ...] = field(converter=_ports, kw_only=True)
    resolution: Resolution = field(
        default=Resolution.EDS, validator=instance_of(Resolution), kw_only=True
    )
    addresses: tuple[str, ...] = field(default=(), converter=_addresses, kw_only=True)
    labels: Labels = field(factory=Labels, converter=to_labels, kw_only=True)
    namespace: str | None = field(default=None, kw_only=True)
    is_external: bool = field(default=False, kw_only=True)
    alias_of: Hostname | None = field(default=None, converter=optional(Hostname), kw_only=True)
    export_to: tuple[str, ...] = field(default=("*",), converter=_export_to, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if not self.ports:
            msg = f"the service {self.host} has no ports: give at least one"
            raise ValueError(msg)
        for what, values in (
            ("name", [port.name for port in self.ports]),
            ("number", [str(port.number) for port in self.ports]),
        ):
            if len(set(values)) != len(values):
                twice = next(value for value in values if values.count(value) > 1)
                msg = f"the service {self.host} has two ports of the {what} {twice}"
                raise ValueError(msg)
        if (self.alias_of is None) == (self.resolution is Resolution.ALIAS):
            msg = f"the service {self.host} needs alias_of together with Resolution.ALIAS"
            raise ValueError(msg)

    @property
    def key(self) -> ServiceKey:
        """Namespace and host; an unset namespace counts as empty."""
        return ServiceKey(self.namespace or "", self.host)

    def port(self, name: str) -> Port | None:
        """The port of that name, or None."""
        return next((port for port in self.ports if port.name == name), None)

    def __str__(self) -> str:
        return str(self.key)


def _endpoints(endpoints: Iterable[Endpoint]) -> tuple[Endpoint, ...]:
    by_key: dict[EndpointKey, Endpoint] = {}
    for endpoint in endpoints:
        if by_key.setdefault(endpoint.key, endpoint) != endpoint:
            msg = f"the endpoint {endpoint} of port {endpoint.service_port!r} is given twice, with different values"
            raise ValueError(msg)
    return tuple(by_key[key] for key in sorted(by_key))


def _names(names: Iterable[ServiceKey]) -> tuple[ServiceKey, ...]:
    return tuple(sorted(set(names)))


def _host_as_key(record: ServiceRecord) -> RecordKey:
    return RecordKey(str(record.service.host))


@frozen
class ServiceRecord:
    """What one source says of one service, whole.

    Attributes:
        service: the service.
        endpoints: its endpoints, sorted by identity; equal ones are folded.
        key: the backend's own name of this record; default: the host.
        aliases: further names that callers may use for the service, sorted; each becomes an
            ALIAS of it unless somebody knows a service of that name.

    Raises:
        ValueError: if one endpoint is given twice with different values.
    """

    service: Service = field(validator=instance_of(Service))
    endpoints: tuple[Endpoint, ...] = field(default=(), converter=_endpoints)
    key: RecordKey = field(default=Factory(_host_as_key, takes_self=True), kw_only=True)
    aliases: tuple[ServiceKey, ...] = field(default=(), converter=_names, kw_only=True)

    @property
    def names(self) -> tuple[ServiceKey, ...]:
        """The key of the service, and its further names.

        The same host in another namespace is none: a proxy sees one of the two, and an alias
        would stand for itself.
        """
        own = self.service.key
        return (own, *(one for one in self.aliases if one.host != own.host))

    @classmethod
    def parse(
        cls,
        host: str,
        *,
        port: int,
        endpoints: Iterable[str | Endpoint] = (),
        protocol: str | Protocol = Protocol.HTTP,
        port_name: str | None = None,
        namespace: str | None = None,
        labels: dict[str, str] | None = None,
    ) -> ServiceRecord:
        """A record of one port from plain words: ``parse("a.b", port=80, endpoints=["10.0.0.1:80"])``.

        The port is named after its protocol unless `port_name` says otherwise.

        Raises:
            ValueError: if a word is not what it should be.
        """
        spoken = protocol if isinstance(protocol, Protocol) else Protocol.parse(protocol)
        name = port_name or spoken.value.lower()
        service = Service(
            Hostname(host),
            ports=[Port(name, port, spoken)],
            namespace=namespace,
            labels=labels,
        )
        parsed = (
            Endpoint.parse(one, service_port=name)
            if isinstance(one, str)
            else evolve(one, service_port=name)
            for one in endpoints
        )
        return cls(service, parsed)

    def __str__(self) -> str:
        return f"{self.key} ({self.service}, {len(self.endpoints)} endpoints)"
