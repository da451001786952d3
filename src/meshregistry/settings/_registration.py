"""Who may register workloads over HTTP, and in which source they are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen
from attrs.validators import ge, min_len

from meshregistry.documents import MappingNode, Path, Seconds, Secret, suggestion
from meshregistry.settings._addresses import Address

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from meshregistry.documents import Position
    from meshregistry.errors import ConfigError

_SHORTEST = Seconds(1.0)


def _are_hosts(_form: object, _attribute: object, hosts: tuple[str, ...]) -> None:
    for host in hosts:
        if not host or (host != "*" and "*" in host.removeprefix("*.")):
            msg = f"{host!r} names no hosts: write a host, *.shop.mesh.local or *"
            raise ValueError(msg)


@frozen(kw_only=True)
class RegistrationGrant:
    """What somebody may register.

    Attributes:
        namespaces: of these; ``*`` for all.
        hosts: services of these names; ``*.shop.mesh.local`` for all below, ``*`` for all.
    """

    namespaces: tuple[str, ...] = field(default=("*",), validator=min_len(1))
    hosts: tuple[str, ...] = field(default=("*",), validator=[min_len(1), _are_hosts])

    def allows(self, namespace: str, host: str) -> bool:
        """Whether a service of that namespace and name is among them."""
        return ("*" in self.namespaces or namespace in self.namespaces) and any(
            pattern in {"*", host} or (pattern.startswith("*.") and host.endswith(pattern[1:]))
            for pattern in self.hosts
        )


@frozen(kw_only=True)
class RegistrationToken(RegistrationGrant):
    """A bearer token.

    Attributes:
        token: the secret; a file is read again for each request.
        name: for the log.
    """

    token: Secret
    name: str = ""


@frozen(kw_only=True)
class RegistrationClient(RegistrationGrant):
    """A client certificate.

    Attributes:
        identity: a URI (a SPIFFE id) or a DNS name of the certificate.
    """

    identity: str = field(validator=min_len(1))


@frozen(kw_only=True)
class RegistrationTls:
    """Certificates of the listener; the files are read again when they change.

    Attributes:
        certificate: PEM file of the server's certificate, with what leads to the root.
        key: PEM file of its private key.
        client_ca: PEM file of the roots of client certificates.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None


@frozen(kw_only=True)
class RegistrationSettings:
    """Registration of workloads by their agents.

    Attributes:
        source: the source that keeps them; of a kind that can be written to.
        tokens: who may register with a token.
        clients: who may register with a client certificate.
        address: where it is served; null for the address of `http`.
        tls: certificates; then it has a listener of its own, at `address`.
        allow_plaintext: to send tokens off loopback as plain text all the same.
        default_ttl: how long a registration lasts that does not say.
        max_ttl: the longest that one may last.
    """

    source: str
    tokens: tuple[RegistrationToken, ...] = ()
    clients: tuple[RegistrationClient, ...] = ()
    address: Address | None = None
    tls: RegistrationTls | None = None
    allow_plaintext: bool = False
    default_ttl: Seconds = field(default=Seconds(30.0), validator=ge(_SHORTEST))
    max_ttl: Seconds = field(default=Seconds(3600.0), validator=ge(_SHORTEST))

    def __attrs_post_init__(self) -> None:
        if self.default_ttl > self.max_ttl:
            msg = "default_ttl is longer than max_ttl: make one of them fit the other"
            raise ValueError(msg)


def registration_faults(
    registration: RegistrationSettings,
    node: MappingNode,
    *,
    listeners: Mapping[str, Address | None],
    sources: list[str],
) -> Iterator[ConfigError]:
    """What is wrong with these settings beside the others.

    Args:
        registration: the settings.
        node: where they are written.
        listeners: the other HTTP listeners by name.
        sources: the ids of all sources.
    """

    def place(key: str) -> Position:
        return node.get(key) or node

    if registration.source not in sources:
        yield place("source").fault(
            f"there is no source {registration.source}", suggestion(registration.source, sources)
        )
    if not registration.tokens and not registration.clients:
        yield node.fault("nobody may register", "add tokens: or clients:")
    tls = registration.tls
    if registration.clients and (tls is None or tls.client_ca is None):
        yield place("clients").fault(
            "client certificates are not asked for", "add tls: with client_ca:"
        )
    address = registration.address or listeners["http"]
    if address is None:
        yield node.fault("http is off, so there is no address", "add address:")
    elif tls is not None and address.is_unix:
        yield place("tls").fault("a Unix socket has no certificates", "leave one of them out")
    elif tls is not None and (
        registration.address is None or (address.port and address in listeners.values())
    ):
        yield place("tls").fault(
            "a listener with certificates shares no address", "add address: with a free one"
        )
    elif tls is None and not address.is_loopback and not registration.allow_plaintext:
        yield place("address").fault(
            f"{address} is not loopback, and without tls anyone can read the tokens",
            "add tls:, or allow_plaintext: true if the network is trusted",
        )
    if registration.allow_plaintext and tls is not None:
        yield place("allow_plaintext").fault("it contradicts tls", "keep one of them")
