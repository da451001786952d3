"""What proxies at the edge listen for, and what sidecars care for."""

from __future__ import annotations

import enum

from attrs import field, frozen

from meshregistry.model import Protocol, Selector
from meshregistry.rules._mesh import OutboundTrafficPolicy
from meshregistry.rules._origin import Origin


class GatewayTlsMode(enum.Enum):
    """What a gateway does with TLS; PASSTHROUGH modes do not end it."""

    PASSTHROUGH = "PASSTHROUGH"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    OPTIONAL_MUTUAL = "OPTIONAL_MUTUAL"
    AUTO_PASSTHROUGH = "AUTO_PASSTHROUGH"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"


@frozen(kw_only=True, cache_hash=True)
class GatewayTls:
    """TLS of a gateway's server. Paths are those of files on the proxy's machine.

    Attributes:
        is_redirect: whether plain HTTP requests are sent to https with status 301.
        minimum, maximum: versions such as ``TLSV1_2``; empty: Envoy's default.
    """

    mode: GatewayTlsMode | None = None
    is_redirect: bool = False
    server_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""
    credential_names: tuple[str, ...] = ()
    subject_alt_names: tuple[str, ...] = ()
    minimum: str = ""
    maximum: str = ""
    cipher_suites: tuple[str, ...] = ()


class ServerProtocol(enum.Enum):
    """What a gateway's server speaks; HTTPS ends TLS and reads HTTP, TLS reads only SNI."""

    HTTP = "HTTP"
    HTTP2 = "HTTP2"
    GRPC = "GRPC"
    HTTPS = "HTTPS"
    TLS = "TLS"
    TCP = "TCP"

    @property
    def is_http(self) -> bool:
        """Whether requests are routed one by one."""
        return self not in {ServerProtocol.TLS, ServerProtocol.TCP}


@frozen(kw_only=True, cache_hash=True)
class GatewayServer:
    """One port of a gateway, for some hosts.

    Attributes:
        port: that the proxy binds, or the service's that leads to it.
        port_name: as the document names it.
        bind: IP address; empty: the router's.
        hosts: ``namespace/host``; the namespace ``*`` is any, ``.`` was replaced by the
            gateway's own; the host may be ``*`` or ``*.suffix``.
    """

    port: int
    port_name: str = ""
    protocol: ServerProtocol = ServerProtocol.HTTP
    bind: str = ""
    hosts: tuple[str, ...] = ("*/*",)
    tls: GatewayTls | None = None
    name: str = ""
    origin: Origin = field(default=Origin(), eq=False)


@frozen(kw_only=True, cache_hash=True)
class Gateway:
    """Servers for the proxies (routers) whose labels the selector chooses; empty: all."""

    namespace: str = ""
    name: str = ""
    selector: Selector = field(factory=Selector)
    servers: tuple[GatewayServer, ...] = ()
    created: float = 0.0
    origin: Origin = field(default=Origin(), eq=False)

    @property
    def key(self) -> str:
        """``namespace/name``, by which route rules refer to it."""
        return f"{self.namespace}/{self.name}"


@frozen(kw_only=True, cache_hash=True)
class EgressListener:
    """What workloads may call.

    Attributes:
        hosts: ``namespace/host``; the namespace ``*`` is any, ``.`` was replaced by the
            document's own, ``~`` is none; the host may be ``*`` or ``*.suffix``.
        port: only this one; None: all that no other listener has.
        bind: IP address to listen on; empty: as usual.
    """

    hosts: tuple[str, ...]
    port: int | None = None
    protocol: Protocol | None = None
    bind: str = ""


@frozen(kw_only=True, cache_hash=True)
class IngressListener:
    """A port at which a workload is called, instead of what its services say.

    Attributes:
        port: where the sidecar listens.
        default_endpoint: where the workload does: ``127.0.0.1:port`` or ``unix:/path``.
    """

    port: int
    protocol: Protocol
    bind: str = ""
    default_endpoint: str = ""


@frozen(kw_only=True, cache_hash=True)
class SidecarScope:
    """What the sidecars of some workloads see (Istio's Sidecar).

    Attributes:
        selector: of the workloads in its namespace; None: the default for all others.
        egress: empty: everything that is exported to the namespace.
        ingress: empty: as the workload's services say.
        outbound: what they do with unknown hosts; None: as the mesh.
    """

    namespace: str = ""
    name: str = ""
    selector: Selector | None = None
    egress: tuple[EgressListener, ...] = ()
    ingress: tuple[IngressListener, ...] = ()
    outbound: OutboundTrafficPolicy | None = None
    created: float = 0.0
    origin: Origin = field(default=Origin(), eq=False)
