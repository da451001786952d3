"""What keys and values mean: our own layout, and four that other programs write. Pure.

A path is a key without the prefix. Layouts tell from the path alone which record a key
belongs to, so that a value that cannot be read is a fault of that record and of no other.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any
from typing import Protocol as Interface
from urllib.parse import urlsplit

from attrs import evolve

from meshregistry.model import (
    Endpoint,
    Hostname,
    Protocol,
    RecordKey,
    ServiceKey,
    ServiceRecord,
)
from meshregistry_etcd._convert import is_text, json_object, service_record, taken

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshregistry_etcd._config import EtcdConfig

_SCHEMES = {
    "http": Protocol.HTTP,
    "https": Protocol.HTTPS,
    "h2c": Protocol.HTTP2,
    "grpc": Protocol.GRPC,
    "tcp": Protocol.TCP,
    "udp": Protocol.UDP,
}
_USUAL_PORTS = {"http": 80, "https": 443}
_DELETE = 1


class Layout(Interface):
    """What keys and values mean."""

    def key(self, path: str) -> RecordKey | None:
        """The record that a key belongs to; None if the key is no registration.

        Raises:
            ValueError: if it should be one and is malformed.
        """

    def read(self, path: str, value: bytes) -> ServiceRecord | None:
        """What one key says of its service; None if it says that there is nothing.

        Raises:
            ValueError: if the value is malformed.
        """


def layout(config: EtcdConfig) -> Layout:
    """The layout that the options choose."""
    kinds: dict[str, Callable[[EtcdConfig], Layout]] = {
        "meshregistry": OwnLayout,
        "go-kit": GoKitLayout,
        "grpc": GrpcLayout,
        "skydns": SkyDnsLayout,
        "registrator": RegistratorLayout,
    }
    return kinds[config.layout](config)


class OwnLayout:
    """``[namespace/]host/id``; the value is a JSON document of the service and its endpoints."""

    def __init__(self, config: EtcdConfig) -> None:
        del config

    def key(self, path: str) -> RecordKey | None:
        return RecordKey(str(self._key(path)))

    def read(self, path: str, value: bytes) -> ServiceRecord | None:
        return service_record(self._key(path), value)

    def _key(self, path: str) -> ServiceKey:
        match path.split("/"):
            case [host, id_] if id_:
                return ServiceKey("", Hostname(host))
            case [namespace, host, id_] if id_ and namespace:
                return ServiceKey(namespace, Hostname(host))
        msg = f"the key is malformed: write host/id or namespace/host/id after the prefix, not {path!r}"
        raise ValueError(msg)


class _Named:
    """Layouts in which a folder is a service and a key in it one endpoint."""

    spoken = Protocol.HTTP

    def __init__(self, config: EtcdConfig) -> None:
        self._config = config
        self._protocol = config.protocol or self.spoken
        self._own_name = config.folder.strip("/").rpartition("/")[2]

    def key(self, path: str) -> RecordKey | None:
        return RecordKey(self.host(path)) if path else None

    def read(self, path: str, value: bytes) -> ServiceRecord | None:
        endpoint, protocol = self.endpoint(path, value.decode().strip())
        return self.record(path, endpoint, protocol)

    def host(self, path: str) -> Hostname:
        """The host of the folder; the prefix itself may be the folder of one service."""
        # An id may be a whole URL, whose slashes divide nothing.
        folder = path.partition("://")[0].rpartition("/")[0].strip("/")
        name = folder.replace("/", "-") or self._own_name
        domain = self._config.domain.strip(".")
        return Hostname(f"{name}.{domain}" if domain else name)

    def endpoint(self, path: str, text: str) -> tuple[Endpoint, Protocol]:
        """What the value says.

        Raises:
            ValueError: if it is malformed.
        """
        del path
        return address(text, self._protocol)

    def record(self, path: str, endpoint: Endpoint, protocol: Protocol) -> ServiceRecord:
        """A record of this one endpoint."""
        return _record(self._config, self.host(path), endpoint, protocol)


class GoKitLayout(_Named):
    """go-kit's ``sd/etcdv3``: the value is ``10.0.0.1:8080`` or a URL."""


class RegistratorLayout(_Named):
    """Registrator: the value is ``ip:port``; an id that ends in ``:udp`` says so."""

    def endpoint(self, path: str, text: str) -> tuple[Endpoint, Protocol]:
        protocol = Protocol.UDP if path.endswith(":udp") else self._protocol
        return address(text, protocol)


class GrpcLayout(_Named):
    """gRPC naming (``endpoints.Manager`` of etcd's client): ``Op``, ``Addr``, ``Metadata``."""

    spoken = Protocol.GRPC

    def read(self, path: str, value: bytes) -> ServiceRecord | None:
        document = json_object(value)
        if taken(document, "Op", int, 0) == _DELETE:
            return None
        endpoint, protocol = address(taken(document, "Addr", str, ""), self._protocol)
        return self.record(path, _labelled(endpoint, document.get("Metadata")), protocol)


class SkyDnsLayout:
    """SkyDNS and CoreDNS' plugin ``etcd``: ``local/cluster/web/x1`` is an instance of ``web.cluster.local``."""

    def __init__(self, config: EtcdConfig) -> None:
        self._config = config
        self._protocol = config.protocol or Protocol.HTTP

    def key(self, path: str) -> RecordKey | None:
        segments = path.strip("/").split("/")
        # Under dns/apex stand the servers of a zone, which are no service.
        if len(segments) < 2 or "dns" in segments[:-1]:  # noqa: PLR2004 - a name and an id
            return None
        return RecordKey(Hostname(".".join(reversed(segments[:-1]))))

    def read(self, path: str, value: bytes) -> ServiceRecord | None:
        document = json_object(value)
        host = taken(document, "host", str, "")
        is_mail = taken(document, "mail", bool, False)
        if not host or is_mail:
            return None  # a TXT or an MX record
        name = Hostname(self.key(path) or "")
        number = taken(document, "port", int, 0) or self._config.port_of(name)
        labels = {
            field: str(taken(document, field, kind, kind()))
            for field, kind in (("group", str), ("priority", int))
            if document.get(field)
        }
        endpoint = Endpoint(
            address=host,
            port=number,
            weight=taken(document, "weight", int, 0) or 1,
            labels=labels,
        )
        return _record(self._config, name, endpoint, self._protocol)


def address(text: str, protocol: Protocol) -> tuple[Endpoint, Protocol]:
    """Read ``10.0.0.1:8080`` or a URL, whose scheme says what is spoken.

    Raises:
        ValueError: if it is neither.
    """
    if "://" not in text or text.startswith("unix://"):
        return Endpoint.parse(_bracketed(text)), protocol
    url = urlsplit(text)
    if url.scheme not in _SCHEMES or not url.hostname:
        known = ", ".join(_SCHEMES)
        msg = f"{text!r} is not an address: write host:port or a URL of {known}"
        raise ValueError(msg)
    number = url.port or _USUAL_PORTS.get(url.scheme, 0)
    return Endpoint(address=url.hostname, port=number), _SCHEMES[url.scheme]


def _bracketed(text: str) -> str:
    """Some write IPv6 addresses without brackets, as ``2001:db8::1:8080``."""
    host, _, port = text.rpartition(":")
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return text
    return f"[{host}]:{port}"


def _labelled(endpoint: Endpoint, metadata: Any) -> Endpoint:
    """Metadata may be any JSON; what is a text in an object is a label."""
    if not isinstance(metadata, dict):
        return endpoint
    labels = {
        is_text(key): is_text(value) for key, value in metadata.items() if isinstance(value, str)
    }
    return evolve(endpoint, labels=labels)


def _record(
    config: EtcdConfig, host: Hostname, endpoint: Endpoint, protocol: Protocol
) -> ServiceRecord:
    return ServiceRecord.parse(
        host, port=config.port_of(host), protocol=protocol, endpoints=[endpoint]
    )
