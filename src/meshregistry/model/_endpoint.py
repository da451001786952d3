"""Endpoints: where one instance of a service answers."""

from __future__ import annotations

import enum
import socket
from typing import NamedTuple

from attrs import field, fields, frozen
from attrs.validators import ge, instance_of

from meshregistry.model._names import Hostname, Labels, to_labels

_HIGHEST_PORT = 65535


class AddressKind(enum.Enum):
    """What an endpoint's address is."""

    IP = "ip"
    UNIX = "unix"
    DNS = "dns"


class Health(enum.Enum):
    """What its registry says of an endpoint.

    UNHEALTHY endpoints are kept in the catalog and never sent to a proxy; DRAINING ones
    are sent as such, so that established sessions may end in peace.
    """

    HEALTHY = "HEALTHY"
    DRAINING = "DRAINING"
    UNHEALTHY = "UNHEALTHY"

    def __str__(self) -> str:
        return self.value


@frozen(order=True)
class Locality:
    """Region, zone and sub-zone, as in Envoy's ``core.v3.Locality``.

    The text form is ``region/zone/sub_zone`` with trailing empty parts left out.
    """

    region: str = ""
    zone: str = ""
    sub_zone: str = ""

    @classmethod
    def parse(cls, text: str) -> Locality:
        """Read ``region/zone/sub_zone``; missing parts are empty.

        Raises:
            ValueError: if there are more than three parts.
        """
        parts = text.split("/")
        if len(parts) > len(fields(cls)):
            msg = f"{text!r} is not a locality: write region/zone/sub_zone"
            raise ValueError(msg)
        return cls(*parts)

    def __str__(self) -> str:
        return f"{self.region}/{self.zone}/{self.sub_zone}".rstrip("/")


class EndpointKey(NamedTuple):
    """The four fields that identify an endpoint within a service."""

    network: str
    address: str
    port: int
    service_port: str


def address_kind(address: str) -> AddressKind:
    """Tell an IP address, a Unix socket and a DNS name apart; the text is canonical."""
    if address.startswith("unix://"):
        return AddressKind.UNIX
    if ":" in address or _is_ipv4(address):
        return AddressKind.IP
    return AddressKind.DNS


def _is_ipv4(text: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET, text)
    except OSError:
        return False
    return True


def canonical_address(text: str) -> str:
    """Bring an address into its one canonical spelling.

    Raises:
        ValueError: if it is neither an IP address, ``unix://`` and an absolute path, nor
            a DNS name.
    """
    if text.startswith("unix:"):
        path = text.removeprefix("unix:").removeprefix("//")
        if not path.startswith(("/", "@")):
            msg = f"{text!r} is not a Unix socket: write unix:///path/to/socket"
            raise ValueError(msg)
        return f"unix://{path}"
    if _is_ipv4(text):
        return text
    if ":" in text:
        try:
            bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
            packed = socket.inet_pton(socket.AF_INET6, bare)
        except OSError:
            msg = f"{text!r} is not an IPv6 address"
            raise ValueError(msg) from None
        return socket.inet_ntop(socket.AF_INET6, packed)
    if text.replace(".", "").isdigit():
        msg = f"{text!r} is not an IPv4 address: write four numbers from 0 to 255"
        raise ValueError(msg)
    host = Hostname(text)
    if host.is_wildcard:
        msg = f"{text!r} is not an address: a wildcard names many hosts"
        raise ValueError(msg)
    return str(host)


def _is_port(_endpoint: Endpoint, _attribute: object, value: int) -> None:
    if not 0 <= value <= _HIGHEST_PORT:
        msg = f"{value} is not a port: it must be from 0 to {_HIGHEST_PORT}"
        raise ValueError(msg)


@frozen(kw_only=True)
class Endpoint:
    """One instance of a service, at one of the service's ports.

    Attributes:
        address: an IP address, a Unix socket (``unix:///path``) or a DNS name.
        port: the port it listens on; 0 for a Unix socket only.
        service_port: the *name* of the port of its service.
        network: the network in which the address means something.
        cluster: the cluster it runs in (a name, not an Envoy cluster).
        workload_identity: its SPIFFE id, if known.
        locality: region, zone, sub-zone.
        health: what its registry says of it.
        weight: relative share of load, from 0; 0 means that it is not sent to proxies.
        labels: such as ``version=v1``.
        priority: set by the merge, if the sources of the service fail over to each other:
            proxies use an endpoint only for what those of lower numbers cannot take.

    Raises:
        ValueError: if a field is out of its range.
    """

    address: str = field(converter=canonical_address)
    port: int = field(validator=[instance_of(int), _is_port])
    service_port: str = "http"
    network: str = ""
    cluster: str = ""
    workload_identity: str = ""
    locality: Locality = Locality()
    health: Health = Health.HEALTHY
    weight: int = field(default=1, validator=[instance_of(int), ge(0)])
    labels: Labels = field(factory=Labels, converter=to_labels)
    priority: int = field(default=0, validator=[instance_of(int), ge(0)])

    def __attrs_post_init__(self) -> None:
        is_unix = self.kind is AddressKind.UNIX
        if is_unix != (self.port == 0):
            msg = (
                f"the Unix socket {self.address} has no port: leave it 0"
                if is_unix
                else f"the endpoint {self.address} needs a port from 1 to {_HIGHEST_PORT}"
            )
            raise ValueError(msg)

    @classmethod
    def parse(cls, text: str, *, service_port: str = "http") -> Endpoint:
        """Read ``10.0.0.1:80``, ``[::1]:80``, ``db.example.com:80`` or ``unix:///path``.

        Raises:
            ValueError: if the text is not of one of these forms.
        """
        if text.startswith("unix:"):
            return cls(address=text, port=0, service_port=service_port)
        address, colon, port = text.rpartition(":")
        if not colon or not port.isascii() or not port.isdigit():
            msg = f"{text!r} is not an endpoint: write address:port"
            raise ValueError(msg)
        if ":" in address and not address.startswith("["):
            msg = f"{text!r} is not an endpoint: write an IPv6 address in brackets, as [::1]:80"
            raise ValueError(msg)
        return cls(address=address, port=int(port), service_port=service_port)

    @property
    def kind(self) -> AddressKind:
        """Whether the address is an IP, a Unix socket or a DNS name."""
        return address_kind(self.address)

    @property
    def key(self) -> EndpointKey:
        """Its identity: overlapping addresses of two networks stay two endpoints."""
        return EndpointKey(self.network, self.address, self.port, self.service_port)

    @property
    def is_sent(self) -> bool:
        """Whether proxies get to know it: it has weight and is not UNHEALTHY."""
        return self.weight > 0 and self.health is not Health.UNHEALTHY

    def __str__(self) -> str:
        if self.port == 0:
            return self.address
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"
