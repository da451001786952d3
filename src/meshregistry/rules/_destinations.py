"""How a service is reached once a route has chosen it: balancing, limits, ejection, TLS."""

from __future__ import annotations

import enum

from attrs import field, frozen

from meshregistry.documents import Seconds
from meshregistry.model import Labels, Selector
from meshregistry.rules._origin import Origin


class Balancing(enum.Enum):
    """Which endpoint is next."""

    LEAST_REQUEST = "LEAST_REQUEST"
    ROUND_ROBIN = "ROUND_ROBIN"
    RANDOM = "RANDOM"
    PASSTHROUGH = "PASSTHROUGH"
    RING_HASH = "RING_HASH"
    MAGLEV = "MAGLEV"


class HashOn(enum.Enum):
    """What of a request is hashed."""

    HEADER = "header"
    COOKIE = "cookie"
    SOURCE_IP = "source_ip"
    QUERY = "query"


@frozen(kw_only=True, cache_hash=True)
class HashKey:
    """What decides the endpoint with RING_HASH and MAGLEV.

    Attributes:
        on: the sort of key.
        name: of the header, cookie or query parameter.
        cookie_path, cookie_ttl: of a cookie that the proxy sets (seconds; None: it sets
            none).
    """

    on: HashOn
    name: str = ""
    cookie_path: str = ""
    cookie_ttl: Seconds | None = None


@frozen(kw_only=True, cache_hash=True)
class Distribution:
    """Shares of traffic from one locality (``region/zone/sub``, ``*`` at the end) to others."""

    origin: str
    shares: tuple[tuple[str, int], ...]


@frozen(kw_only=True, cache_hash=True)
class LocalityBalancing:
    """Which localities are preferred.

    Attributes:
        is_enabled: false switches the mesh's default off.
        distribute: fixed shares; excludes the others.
        failover: (from region, to region) pairs.
        failover_priority: label keys; endpoints that share more of them, from the first,
            with the proxy come first.
    """

    is_enabled: bool = True
    distribute: tuple[Distribution, ...] = ()
    failover: tuple[tuple[str, str], ...] = ()
    failover_priority: tuple[str, ...] = ()


@frozen(kw_only=True, cache_hash=True)
class Warmup:
    """New endpoints get less than their share at first.

    Attributes:
        duration: seconds until the full share.
        minimum_percent: of the share at the start.
        aggression: the curve's exponent; 1 is a line.
    """

    duration: Seconds
    minimum_percent: float = 10.0
    aggression: float = 1.0


@frozen(kw_only=True, cache_hash=True)
class LoadBalancer:
    """Which endpoint takes a request; None and empty mean: as the mesh does."""

    balancing: Balancing | None = None
    hash_key: HashKey | None = None
    minimum_ring_size: int | None = None
    table_size: int | None = None
    locality: LocalityBalancing | None = None
    warmup: Warmup | None = None


@frozen(kw_only=True, cache_hash=True)
class Keepalive:
    """TCP keep-alive: probes, and seconds of idleness and between probes."""

    probes: int | None = None
    idle: Seconds | None = None
    interval: Seconds | None = None


@frozen(kw_only=True, cache_hash=True)
class ConnectionPool:
    """Limits towards the endpoints; None means Envoy's or the mesh's default.

    Attributes:
        max_connections: of HTTP/1.1 and TCP.
        connect_timeout, max_connection_duration, tcp_idle_timeout, idle_timeout: seconds;
            `idle_timeout` is that of HTTP connections.
        max_pending_requests, max_requests: waiting for a connection, and under way.
        max_requests_per_connection: 0: unlimited; 1 switches keep-alive off.
        max_retries: under way at once.
        upgrade: whether HTTP/1.1 requests go out as HTTP/2: True, False or by the mesh.
        uses_client_protocol: whether to speak upstream what the caller speaks.
        max_concurrent_streams: of one HTTP/2 connection.
        http2_keepalive: (interval, timeout) in seconds.
    """

    max_connections: int | None = None
    connect_timeout: Seconds | None = None
    keepalive: Keepalive | None = None
    max_connection_duration: Seconds | None = None
    tcp_idle_timeout: Seconds | None = None
    max_pending_requests: int | None = None
    max_requests: int | None = None
    max_requests_per_connection: int | None = None
    max_retries: int | None = None
    idle_timeout: Seconds | None = None
    upgrade: bool | None = None
    uses_client_protocol: bool = False
    max_concurrent_streams: int | None = None
    http2_keepalive: tuple[Seconds, Seconds] | None = None


@frozen(kw_only=True, cache_hash=True)
class OutlierDetection:
    """Ejects endpoints that keep failing; counters of 0 are switched off.

    Attributes:
        consecutive_5xx, consecutive_gateway_errors, consecutive_local_failures: how many in
            a row eject; None: Envoy's default (5).
        is_local_split: whether failures to connect are counted apart.
        interval, base_ejection_time: seconds; None: 10 and 30.
        max_ejection_percent: of the endpoints; None: 10.
        min_health_percent: below it nothing is ejected and all endpoints are used; 0: never.
    """

    consecutive_5xx: int | None = None
    consecutive_gateway_errors: int | None = None
    is_local_split: bool = False
    consecutive_local_failures: int | None = None
    interval: Seconds | None = None
    base_ejection_time: Seconds | None = None
    max_ejection_percent: int | None = None
    min_health_percent: int = 0


class ClientTlsMode(enum.Enum):
    """How a proxy speaks TLS to endpoints; ISTIO_MUTUAL uses the workload's certificate."""

    DISABLE = "DISABLE"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"


@frozen(kw_only=True, cache_hash=True)
class ClientTls:
    """TLS towards endpoints. Paths are those of files on the proxy's machine.

    Attributes:
        ca_certificates: roots; empty: the system's.
        credential_name: a secret to be had over SDS instead of files.
        subject_alt_names: one of which the certificate must have.
        sni: server name; empty: the Host header's.
        is_unverified: whether any certificate will do.
    """

    mode: ClientTlsMode
    client_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""
    ca_crl: str = ""
    credential_name: str = ""
    subject_alt_names: tuple[str, ...] = ()
    sni: str = ""
    is_unverified: bool = False


@frozen(kw_only=True, cache_hash=True)
class RetryBudget:
    """How many retries may be under way, instead of a fixed number.

    Attributes:
        percent: of all requests under way and waiting.
        minimum: that may be under way in any case.
    """

    percent: float = 20.0
    minimum: int = 3


@frozen(kw_only=True, cache_hash=True)
class TrafficPolicy:
    """Settings for one port of a service, or for all; None: as the level above says."""

    load_balancer: LoadBalancer | None = None
    connection_pool: ConnectionPool | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTls | None = None
    retry_budget: RetryBudget | None = None

    def over(self, below: TrafficPolicy) -> TrafficPolicy:
        """This policy laid over another: piece by piece, what this one has replaces."""
        return TrafficPolicy(
            load_balancer=self.load_balancer or below.load_balancer,
            connection_pool=self.connection_pool or below.connection_pool,
            outlier_detection=self.outlier_detection or below.outlier_detection,
            tls=self.tls or below.tls,
            retry_budget=self.retry_budget or below.retry_budget,
        )


@frozen(kw_only=True, cache_hash=True)
class PortPolicies:
    """A policy for all ports, and others for single ones that lie over it."""

    all: TrafficPolicy = TrafficPolicy()
    by_port: tuple[tuple[int, TrafficPolicy], ...] = ()

    def of(self, port: int) -> TrafficPolicy:
        """What holds for a port."""
        for number, policy in self.by_port:
            if number == port:
                return policy.over(self.all)
        return self.all


@frozen(kw_only=True, cache_hash=True)
class Subset:
    """The endpoints of a host that have some labels, under a name; its policy lies on top."""

    name: str
    labels: Labels = field(factory=Labels)
    policies: PortPolicies = PortPolicies()
    origin: Origin = field(default=Origin(), eq=False)


@frozen(kw_only=True, cache_hash=True)
class DestinationPolicy:
    """How the endpoints of a host are reached, from one document or several merged.

    Attributes:
        host: a whole host name, ``*.suffix`` or ``*``.
        selector: the calling workloads that it is for, in its own namespace; None: all.
        export_to: namespaces whose proxies it is for; ``*`` all, ``.`` its own.
        set_apart: endpoints with these labels are only in subsets of just these labels.
        created: seconds since the epoch; 0 if unknown.
    """

    namespace: str = ""
    name: str = ""
    host: str
    policies: PortPolicies = PortPolicies()
    subsets: tuple[Subset, ...] = ()
    selector: Selector | None = None
    export_to: tuple[str, ...] = ("*",)
    set_apart: tuple[Labels, ...] = ()
    created: float = 0.0
    origin: Origin = field(default=Origin(), eq=False)

    def policy(self, port: int, subset: str = "") -> TrafficPolicy:
        """What holds for a port of the host, or of a subset of it."""
        below = self.policies.of(port)
        for one in self.subsets:
            if one.name == subset:
                return one.policies.of(port).over(below)
        return below
