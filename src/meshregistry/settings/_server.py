"""Where and how to serve (contracts, section 12)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from attrs import field, frozen
from attrs.validators import ge

from meshregistry.documents import MappingNode, Path, Position, Seconds
from meshregistry.settings._addresses import Address
from meshregistry.settings._registration import RegistrationSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshregistry.errors import ConfigError

_XDS = Address("127.0.0.1:15010")
_HTTP = Address("127.0.0.1:8080")
_CHOSEN = Address("127.0.0.1:0")


def _are_urls(_instance: object, _attribute: object, value: tuple[str, ...]) -> None:
    for one in value:
        parts = urlsplit(one)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            msg = f"{one!r} is not the URL of a replica: write http://host:port"
            raise ValueError(msg)


@frozen(kw_only=True)
class TlsSettings:
    """Certificates of the xDS listener; the files are read again when they change.

    Attributes:
        certificate: PEM file of the server's certificate, with what leads to the root.
        key: PEM file of its private key.
        client_ca: PEM file of the roots of client certificates; with it, clients without
            such a certificate are refused.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None


@frozen(kw_only=True)
class WebhookSettings:
    """A validating admission webhook for Kubernetes; the files are read again when they change.

    Attributes:
        address: where it listens; an API server on another machine must reach it.
        certificate: PEM file of its certificate, with what leads to the root.
        key: PEM file of its private key.
    """

    address: Address
    certificate: Path
    key: Path


@frozen(kw_only=True)
class ServerSettings:
    """The `server` part of the settings.

    Attributes:
        xds: gRPC; null for none.
        http: REST; null for none. Port 0 by default if that is what `xds` has, so that
            a program that lets the system choose is never in the way of another.
        admin: page and debug documents; default: http's address while that is loopback.
        probes: health, readiness and metrics; likewise.
        webhook: judges routing documents for Kubernetes; null for none.
        registration: workloads are registered by their agents; null: nobody may.
        tls: certificates of the xDS listener; without them it speaks plain text.
        allow_plaintext: to serve xDS as plain text off loopback all the same.
        drain_delay: seconds between becoming not ready and closing the first stream.
        drain_timeout: seconds over which the streams are closed, and the longest that
            leaving may take.
        peers: URLs of the ``http`` listeners of the other replicas, which are asked how far an
            endpoint is drained there.
        max_streams: more are turned away.
        max_message_size: bytes; a larger request closes its stream.
    """

    xds: Address | None = _XDS
    http: Address | None = field()
    admin: Address | None = field()
    probes: Address | None = field()
    webhook: WebhookSettings | None = None
    registration: RegistrationSettings | None = None
    tls: TlsSettings | None = None
    allow_plaintext: bool = False
    drain_delay: Seconds = Seconds(0.0)
    drain_timeout: Seconds = Seconds(5.0)
    peers: tuple[str, ...] = field(default=(), validator=_are_urls)
    max_streams: int = field(default=20_000, validator=ge(1))
    max_message_size: int = field(default=4 * 1024 * 1024, validator=ge(1024))

    @http.default
    def _default_http(self) -> Address:
        chosen = self.xds is not None and not self.xds.is_unix and self.xds.port == 0
        return _CHOSEN if chosen else _HTTP

    @admin.default
    def _default_admin(self) -> Address | None:
        return self.http if self.http is not None and self.http.is_loopback else None

    @probes.default
    def _default_probes(self) -> Address | None:
        return self.http if self.http is not None and self.http.is_loopback else None


def exposure(server: ServerSettings, node: MappingNode) -> Iterator[ConfigError]:
    """What these settings would show to more than this machine without being asked to."""

    def place(key: str) -> Position:
        return node.get(key) or node

    if server.xds and not server.xds.is_loopback and not (server.tls or server.allow_plaintext):
        yield place("xds").fault(
            f"{server.xds} is not loopback, and without tls anyone can read and alter what is sent",
            "add tls:, or allow_plaintext: true if the network is trusted",
        )
    if server.http and not server.http.is_loopback:
        for key in ("admin", "probes"):
            if key not in node:
                yield place("http").fault(
                    f"{server.http} is not loopback, so {key} needs an address of its own",
                    f"add {key}: 127.0.0.1:8081, or {key}: null for none",
                )
    if server.admin and not server.admin.is_loopback:
        yield place("admin").fault(
            f"{server.admin} is not loopback, and the admin listener has no authentication",
            "bind it to 127.0.0.1, or to a Unix socket",
        )
    if server.probes and not server.probes.is_loopback and server.probes == server.http:
        yield place("probes").fault(
            "off loopback it must not share the address of http", "give it an address of its own"
        )
    if server.allow_plaintext and server.tls:
        yield place("allow_plaintext").fault("it contradicts tls", "keep one of them")
