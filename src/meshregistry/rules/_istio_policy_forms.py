"""The pieces of DestinationRule documents (networking.istio.io), field by field."""

from __future__ import annotations

from typing import Any

from attrs import NOTHING, field, frozen
from attrs.validators import and_, ge, gt, in_, le, min_len, optional

from meshregistry.documents import Seconds
from meshregistry.rules._forms import refused, works
from meshregistry.rules._istio_locality import LocalityForm

_COUNT = optional(ge(0))
_SOME = optional(ge(1))
_PERCENT = optional(and_(ge(0), le(100)))
_TIME = optional(ge(0.001))
_PORT = and_(ge(1), le(65535))


@frozen(kw_only=True)
class CookieForm:
    """ConsistentHashLB.HTTPCookie."""

    name: str = field(validator=min_len(1))
    path: str = works("", default="")
    ttl: Seconds | None = works("the proxy sets the cookie if given", validator=optional(ge(0.0)))


@frozen(kw_only=True)
class RingForm:
    """ConsistentHashLB.RingHash."""

    minimum: int | None = works("", alias="minimumRingSize", validator=_SOME)


@frozen(kw_only=True)
class MaglevForm:
    """ConsistentHashLB.MagLev."""

    size: int | None = works("a prime number", alias="tableSize", validator=_SOME)


@frozen(kw_only=True)
class HashForm:
    """ConsistentHashLB."""

    header: str = works("", default="", alias="httpHeaderName")
    cookie: CookieForm | None = works("", form=CookieForm, alias="httpCookie")
    source_ip: bool = works("", default=False, alias="useSourceIp")
    query: str = works("", default="", alias="httpQueryParameterName")
    ring: RingForm | None = works("", form=RingForm, alias="ringHash")
    maglev: MaglevForm | None = works("", form=MaglevForm)
    minimum: int | None = works("older form of ringHash", alias="minimumRingSize", validator=_SOME)


@frozen(kw_only=True)
class WarmupForm:
    """WarmupConfiguration."""

    duration: Seconds = field(validator=gt(Seconds(0.0)))
    minimum: float = works(
        "10", default=10.0, alias="minimumPercent", validator=[ge(0.0), le(100.0)]
    )
    aggression: float = works("1", default=1.0, validator=ge(1.0))


_SIMPLE = ("UNSPECIFIED", "ROUND_ROBIN", "LEAST_REQUEST", "LEAST_CONN", "RANDOM", "PASSTHROUGH")


@frozen(kw_only=True)
class BalancerForm:
    """LoadBalancerSettings."""

    simple: str | None = works("default: LEAST_REQUEST", validator=optional(in_(_SIMPLE)))
    hash: Any = works("", form=HashForm, alias="consistentHash")
    warmup: WarmupForm | None = works("", form=WarmupForm)
    warmup_seconds: Seconds | None = works("older form of warmup", alias="warmupDurationSecs")
    locality: Any = works("default: the mesh's", form=LocalityForm, alias="localityLbSetting")
    zone_aware: Any = refused(
        "zones are not balanced between yet", "leave it out", alias="zoneAwareLbSetting"
    )


@frozen(kw_only=True)
class KeepaliveForm:
    """TcpKeepalive."""

    probes: int | None = works("", validator=_COUNT)
    time: Seconds | None = works("idle before the first probe", validator=_TIME)
    interval: Seconds | None = works("between probes", validator=_TIME)


@frozen(kw_only=True)
class TcpForm:
    """ConnectionPoolSettings.TCPSettings."""

    max_connections: int | None = works("", alias="maxConnections", validator=_COUNT)
    connect_timeout: Seconds | None = works("", alias="connectTimeout", validator=_TIME)
    keepalive: KeepaliveForm | None = works("", form=KeepaliveForm, alias="tcpKeepalive")
    duration: Seconds | None = works("", alias="maxConnectionDuration", validator=_TIME)
    idle: Any = refused(
        "idle times of TCP connections cannot be set", "leave it out", alias="idleTimeout"
    )


@frozen(kw_only=True)
class HttpForm:
    """ConnectionPoolSettings.HTTPSettings."""

    pending: int | None = works("", alias="http1MaxPendingRequests", validator=_COUNT)
    requests: int | None = works("", alias="http2MaxRequests", validator=_COUNT)
    per_connection: int | None = works("", alias="maxRequestsPerConnection", validator=_COUNT)
    retries: int | None = works("", alias="maxRetries", validator=_COUNT)
    idle: Seconds | None = works("", alias="idleTimeout", validator=_TIME)
    upgrade: str | None = works(
        "",
        alias="h2UpgradePolicy",
        validator=optional(in_(("DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"))),
    )
    client_protocol: bool = works("", default=False, alias="useClientProtocol")
    streams: int | None = works("", alias="maxConcurrentStreams", validator=_SOME)
    keepalive: Any = refused(
        "HTTP/2 pings cannot be set", "use tcp.tcpKeepalive", alias="http2KeepAlive"
    )


@frozen(kw_only=True)
class PoolForm:
    """ConnectionPoolSettings."""

    tcp: TcpForm | None = works("", form=TcpForm)
    http: HttpForm | None = works("", form=HttpForm)


@frozen(kw_only=True)
class OutlierForm:
    """OutlierDetection; a counter of 0 is switched off."""

    errors: int | None = works("", alias="consecutive5xxErrors", validator=_COUNT)
    older: int | None = works("older form", alias="consecutiveErrors", validator=_COUNT)
    gateway: int | None = works("", alias="consecutiveGatewayErrors", validator=_COUNT)
    split: bool = works("", default=False, alias="splitExternalLocalOriginErrors")
    local: int | None = works("", alias="consecutiveLocalOriginFailures", validator=_COUNT)
    interval: Seconds | None = works("10s", validator=_TIME)
    ejection: Seconds | None = works("30s", alias="baseEjectionTime", validator=_TIME)
    percent: int | None = works("10", alias="maxEjectionPercent", validator=_PERCENT)
    healthy: int = works("0", default=0, alias="minHealthPercent", validator=[ge(0), le(100)])


@frozen(kw_only=True)
class TlsForm:
    """ClientTLSSettings."""

    mode: str = field(
        default="DISABLE", validator=in_(("DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"))
    )
    certificate: str = works("file on the proxy", default="", alias="clientCertificate")
    key: str = works("file on the proxy", default="", alias="privateKey")
    ca: str = works("file on the proxy; default: the system's", default="", alias="caCertificates")
    crl: str = works("file on the proxy", default="", alias="caCrl")
    credential: Any = refused(
        "certificates cannot be had by name", "write files", alias="credentialName"
    )
    names: tuple[str, ...] = works("", default=(), alias="subjectAltNames")
    sni: str = works("default: the Host header", default="")
    unverified: bool = works("", default=False, alias="insecureSkipVerify")


@frozen(kw_only=True)
class NumberForm:
    """PortSelector."""

    number: int = field(validator=_PORT)


@frozen(kw_only=True)
class PortPolicyForm:
    """TrafficPolicy.PortTrafficPolicy."""

    port: NumberForm | None = works("", form=NumberForm)
    balancer: Any = works("", form=BalancerForm, alias="loadBalancer")
    pool: PoolForm | None = works("", form=PoolForm, alias="connectionPool")
    outlier: OutlierForm | None = works("", form=OutlierForm, alias="outlierDetection")
    tls: Any = works("", form=TlsForm)


@frozen(kw_only=True)
class BudgetForm:
    """TrafficPolicy.RetryBudget."""

    percent: float = works("20", default=20.0, validator=[ge(0.0), le(100.0)])
    minimum: int = works("3", default=3, alias="minRetryConcurrency", validator=ge(0))


@frozen(kw_only=True)
class PolicyForm:
    """TrafficPolicy."""

    balancer: Any = works("", form=BalancerForm, alias="loadBalancer")
    pool: PoolForm | None = works("", form=PoolForm, alias="connectionPool")
    outlier: OutlierForm | None = works("", form=OutlierForm, alias="outlierDetection")
    tls: Any = works("", form=TlsForm)
    ports: tuple[Any, ...] = works("", form=PortPolicyForm, default=(), alias="portLevelSettings")
    tunnel: Any = refused("tunnels are not known", "leave it out")
    proxy_protocol: Any = refused(
        "the PROXY protocol is not spoken", "leave it out", alias="proxyProtocol"
    )
    budget: BudgetForm | None = works("instead of maxRetries", form=BudgetForm, alias="retryBudget")


@frozen(kw_only=True)
class SubsetForm:
    """Subset."""

    name: str = field(validator=min_len(1))
    labels: dict[str, str] = field(factory=dict)
    policy: Any = works("over the rule's", form=PolicyForm, alias="trafficPolicy")


@frozen(kw_only=True)
class SelectorForm:
    """WorkloadSelector."""

    labels: dict[str, str] = field(validator=min_len(1), alias="matchLabels")


@frozen(kw_only=True)
class DestinationRuleForm:
    """DestinationRule."""

    host: str = works(
        "short names get the document's namespace", validator=min_len(1), default=NOTHING
    )
    policy: Any = works("", form=PolicyForm, alias="trafficPolicy")
    subsets: tuple[Any, ...] = works("", form=SubsetForm, default=())
    export_to: tuple[str, ...] = works("default: all", default=("*",), alias="exportTo")
    selector: SelectorForm | None = works(
        "callers in the rule's namespace", form=SelectorForm, alias="workloadSelector"
    )
