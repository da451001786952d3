"""What users write under a source of the kind ``etcd``; customary names are those of etcd3."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen
from attrs.validators import ge, gt, le, min_len

from meshregistry.model import Protocol
from meshregistry.spi import Path, Seconds, Secret

LayoutName = Literal["meshregistry", "go-kit", "grpc", "skydns", "registrator"]

_PREFIXES: dict[LayoutName, str] = {"meshregistry": "/meshregistry/services/", "skydns": "/skydns/"}
_HIGHEST_PORT = 65535


def _host_and_port(endpoint: str) -> tuple[str, str]:
    """The scheme of an endpoint, or nothing, and the rest of it."""
    scheme, found, rest = endpoint.rpartition("://")
    return (scheme.lower() if found else ""), rest.rstrip("/")


def _are_endpoints(_config: object, _attribute: object, endpoints: tuple[str, ...]) -> None:
    for endpoint in endpoints:
        scheme, rest = _host_and_port(endpoint)
        host, _, port = rest.rpartition(":")
        if scheme not in {"", "http", "https"} or not host or not port.isdigit():
            msg = f"{endpoint!r} is not an endpoint: write host:port, http://host:port or https://host:port"
            raise ValueError(msg)


def _are_ports(_config: object, _attribute: object, ports: dict[str, int]) -> None:
    for host, port in ports.items():
        if not 0 < port <= _HIGHEST_PORT:
            msg = f"the port {port} of {host} must be from 1 to {_HIGHEST_PORT}"
            raise ValueError(msg)


@frozen(kw_only=True)
class EtcdConfig:
    """The options of one source.

    Attributes:
        endpoints: members of one cluster, as ``host:port`` with or without ``http://`` or
            ``https://``; one that fails is passed over for the next.
        user: the user of etcd's own authentication.
        password: of that user.
        ca_cert: file with the certificates that the servers' are checked against; turns
            TLS on, as ``https://`` does (which alone trusts the usual authorities).
        cert_cert: file with the client's certificate.
        cert_key: file with its private key.
        tls_server_name: the name to expect in the servers' certificates, if it is not
            the host of the endpoint.
        timeout: for one question to one endpoint.
        probe_interval: how long the watch may be silent before etcd is asked for a sign
            of life; if none comes within `timeout`, the connection counts as lost.
        page_size: how many keys to ask for at a time when listing.
        layout: what keys and values mean; see the README for each.
        prefix: where the keys begin. ``meshregistry`` and ``skydns`` have a customary
            one; the other layouts leave it to the services, so it must be given.
        domain: appended to the names that the layouts ``go-kit``, ``grpc`` and
            ``registrator`` find, to make host names of them.
        protocol: what services speak if the layout does not say.
        service_port: the port under which services are called, for the layouts that
            only know the ports of endpoints.
        service_ports: the same for single services, by host.

    Raises:
        ValueError: if options contradict each other.
    """

    endpoints: tuple[str, ...] = field(
        default=("127.0.0.1:2379",), validator=[min_len(1), _are_endpoints]
    )
    user: str = ""
    password: Secret | None = None
    ca_cert: Path | None = None
    cert_cert: Path | None = None
    cert_key: Path | None = None
    tls_server_name: str = ""
    timeout: Seconds = field(default=Seconds(5.0), validator=gt(Seconds(0.0)))
    probe_interval: Seconds = field(default=Seconds(10.0), validator=gt(Seconds(0.0)))
    page_size: int = field(default=1000, validator=ge(1))
    layout: LayoutName = "meshregistry"
    prefix: str | None = None
    domain: str = ""
    protocol: Protocol | None = None
    service_port: int = field(default=80, validator=[ge(1), le(_HIGHEST_PORT)])
    service_ports: dict[str, int] = field(factory=dict, validator=_are_ports)

    def __attrs_post_init__(self) -> None:
        for is_wrong, reason in (
            (
                self.prefix is None and self.layout not in _PREFIXES,
                f"the layout {self.layout} has no customary prefix; add prefix: with the one of your services",
            ),
            (
                self.prefix is not None and not self.prefix.strip("/"),
                "the prefix names no folder; write one, so that foreign keys stay out",
            ),
            (
                (self.cert_cert is None) != (self.cert_key is None),
                "cert_cert and cert_key belong together; give both or none",
            ),
            (
                bool(self.user) != (self.password is not None),
                "user and password belong together; give both or none",
            ),
            (
                len({self._is_https(one) for one in self.endpoints}) > 1,
                "some endpoints use TLS and some do not; write https:// before each",
            ),
            (
                self.cert_cert is not None and not self.is_tls,
                "cert_cert is of no use without TLS; add ca_cert or write https:// endpoints",
            ),
        ):
            if is_wrong:
                raise ValueError(reason)

    def _is_https(self, endpoint: str) -> bool:
        scheme, _ = _host_and_port(endpoint)
        return scheme == "https" or (scheme == "" and self.ca_cert is not None)

    @property
    def is_tls(self) -> bool:
        """Whether connections are encrypted."""
        return self._is_https(self.endpoints[0])

    @property
    def targets(self) -> tuple[str, ...]:
        """The endpoints without schemes, each once, in order."""
        return tuple(dict.fromkeys(_host_and_port(one)[1] for one in self.endpoints))

    @property
    def folder(self) -> str:
        """The prefix of every key, ending in a slash.

        Without it the prefix ``a/web`` would also find the keys of ``a/web2``.
        """
        prefix = _PREFIXES.get(self.layout, "") if self.prefix is None else self.prefix
        return prefix.rstrip("/") + "/"

    def port_of(self, host: str) -> int:
        """The port under which a service is called."""
        return self.service_ports.get(host, self.service_port)


def _is_folder(_config: object, _attribute: object, value: str) -> None:
    if not value.strip("/"):
        msg = f"the prefix {value!r} names no folder: write one such as /meshregistry/rules/"
        raise ValueError(msg)


@frozen(kw_only=True)
class EtcdRulesConfig:
    """What users write under a rule source of the kind ``etcd``, beside the registry's options.

    Attributes:
        prefix: of the keys; each holds one document or several, as YAML or JSON.
    """

    prefix: str = field(default="/meshregistry/rules/", validator=_is_folder)

    @property
    def folder(self) -> str:
        """The prefix of every key, ending in a slash."""
        return self.prefix.rstrip("/") + "/"
