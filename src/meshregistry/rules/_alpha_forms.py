"""The pieces of the routing documents of 2017 (config.istio.io/v1alpha2), field by field."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
from attrs import evolve, field, frozen
from attrs.validators import and_, ge, in_, le, optional

from meshregistry.documents import MappingNode, Seconds, SequenceNode
from meshregistry.rules._forms import Reader, refused, works

if TYPE_CHECKING:
    from meshregistry.documents import AnyNode

T = TypeVar("T")

_PERCENT = optional(and_(ge(0.0), le(100.0)))
_COUNT = optional(ge(0))
_TIME = optional(ge(0.001))
_CUSTOM = ("settings of single proxies are not known", "write the simple form")


class AlphaReader(Reader):
    """A reader of documents whose fields may be written with underscores, too."""

    def form(self, node: AnyNode, cls: type[T]) -> T | None:
        """A piece of the document; None if it is wrong, which has been noted."""
        return super().form(_camel(node, cls), cls)


def _camel(node: AnyNode, cls: type[Any]) -> AnyNode:
    """The node with the names of a form's fields; free keys stay as they are."""
    if isinstance(node, SequenceNode):
        return evolve(node, items=tuple(_camel(item, cls) for item in node.items))
    if not isinstance(node, MappingNode):
        return node
    known = {one.alias or one.name: one for one in attrs.fields(cls)}
    entries = []
    for key, value in node.entries:
        name = re.sub(r"_([a-z0-9])", lambda found: found[1].upper(), key.text)
        one = known.get(key.text) or known.get(name)
        inner = None if one is None else one.metadata.get("form")
        renamed = evolve(key, text=name) if key.text not in known and name in known else key
        entries.append((renamed, value if inner is None else _camel(value, inner)))
    return evolve(node, entries=tuple(entries))


@frozen(kw_only=True)
class ServiceForm:
    """IstioService: either a whole host, or a name with what it lacks."""

    service: str = works("a whole host", default="")
    name: str = works("", default="")
    namespace: str = works("default: the document's", default="")
    domain: str = works("default: svc. and the mesh's", default="")
    labels: dict[str, str] | None = works("make a subset of them")


@frozen(kw_only=True)
class SourceForm:
    """IstioService of a caller."""

    labels: dict[str, str] | None = works("of the calling workload")
    service: Any = refused("callers are told apart by labels", "write labels:")
    name: Any = refused("callers are told apart by labels", "write labels:")
    namespace: str = works("of the calling workload", default="")
    domain: Any = refused("callers are told apart by labels", "write labels:")


@frozen(kw_only=True)
class RequestForm:
    """MatchRequest."""

    headers: Any = works("by lower-case name; uri, scheme, method and authority are themselves")


@frozen(kw_only=True)
class MatchForm:
    """MatchCondition."""

    source: SourceForm | None = works("", form=SourceForm)
    request: RequestForm | None = works("", form=RequestForm)
    tcp: Any = refused("addresses cannot be matched without interception", "leave it out")
    udp: Any = refused("there are no routes of UDP", "leave it out")


@frozen(kw_only=True)
class ShareForm:
    """DestinationWeight."""

    destination: ServiceForm | None = works("default: the rule's", form=ServiceForm)
    labels: dict[str, str] | None = works("make a subset of them")
    weight: int | None = works("together 100", validator=optional(and_(ge(0), le(100))))


@frozen(kw_only=True)
class RedirectForm:
    """HTTPRedirect."""

    uri: str | None = works("the whole path")
    authority: str = works("", default="")


@frozen(kw_only=True)
class RewriteForm:
    """HTTPRewrite."""

    uri: str | None = works("replaces what the uri's match matched")
    authority: str = works("", default="")


@frozen(kw_only=True)
class SimpleTimeoutForm:
    """HTTPTimeout.SimpleTimeoutPolicy."""

    timeout: Seconds = field(validator=ge(Seconds(0.001)))
    override: Any = refused(*_CUSTOM, alias="overrideHeaderName")


@frozen(kw_only=True)
class TimeoutForm:
    """HTTPTimeout."""

    simple: SimpleTimeoutForm | None = works("", form=SimpleTimeoutForm, alias="simpleTimeout")
    custom: Any = refused(*_CUSTOM)


@frozen(kw_only=True)
class SimpleRetryForm:
    """HTTPRetry.SimpleRetryPolicy."""

    attempts: int = field(validator=ge(0))
    per_try: Seconds | None = works("", alias="perTryTimeout", validator=_TIME)
    override: Any = refused(*_CUSTOM, alias="overrideHeaderName")


@frozen(kw_only=True)
class RetryForm:
    """HTTPRetry."""

    simple: SimpleRetryForm | None = works("", form=SimpleRetryForm, alias="simpleRetry")
    custom: Any = refused(*_CUSTOM)


@frozen(kw_only=True)
class DelayForm:
    """HTTPFaultInjection.Delay."""

    percent: float | None = works("default: all", validator=_PERCENT)
    fixed: Seconds | None = works("", alias="fixedDelay", validator=_TIME)
    exponential: Any = refused(
        "only fixed delays are known", "write fixedDelay:", alias="exponentialDelay"
    )
    override: Any = refused(*_CUSTOM, alias="overrideHeaderName")


@frozen(kw_only=True)
class AbortForm:
    """HTTPFaultInjection.Abort."""

    percent: float | None = works("default: all", validator=_PERCENT)
    status: int | None = works("", alias="httpStatus", validator=optional(and_(ge(200), le(599))))
    grpc: Any = refused("only HTTP statuses are known", "write httpStatus:", alias="grpcStatus")
    http2: Any = refused("only HTTP statuses are known", "write httpStatus:", alias="http2Error")
    override: Any = refused(*_CUSTOM, alias="overrideHeaderName")


@frozen(kw_only=True)
class FaultForm:
    """HTTPFaultInjection."""

    delay: DelayForm | None = works("", form=DelayForm)
    abort: AbortForm | None = works("", form=AbortForm)


@frozen(kw_only=True)
class CorsForm:
    """CorsPolicy."""

    origins: tuple[str, ...] = works("", default=(), alias="allowOrigin")
    methods: tuple[str, ...] = works("", default=(), alias="allowMethods")
    headers: tuple[str, ...] = works("", default=(), alias="allowHeaders")
    exposed: tuple[str, ...] = works("", default=(), alias="exposeHeaders")
    max_age: Seconds | None = works("whole seconds", alias="maxAge")
    credentials: bool | None = works("", alias="allowCredentials")


@frozen(kw_only=True)
class RouteRuleForm:
    """RouteRule."""

    destination: ServiceForm | None = works("the host that the rule is for", form=ServiceForm)
    precedence: int = works("higher ones first, then by name", default=0)
    match: MatchForm | None = works("default: all requests", form=MatchForm)
    route: tuple[Any, ...] = works("default: the destination", form=ShareForm, default=())
    redirect: RedirectForm | None = works("", form=RedirectForm)
    rewrite: RewriteForm | None = works("", form=RewriteForm)
    websocket: bool = works("upgrades pass in any case", default=False, alias="websocketUpgrade")
    timeout: TimeoutForm | None = works("default: none", form=TimeoutForm, alias="httpReqTimeout")
    retries: RetryForm | None = works("", form=RetryForm, alias="httpReqRetries")
    fault: FaultForm | None = works("", form=FaultForm, alias="httpFault")
    l4_fault: Any = refused(
        "faults are injected into requests only", "write httpFault:", alias="l4Fault"
    )
    mirror: ServiceForm | None = works("copies of all requests", form=ServiceForm)
    cors: CorsForm | None = works("", form=CorsForm, alias="corsPolicy")
    append: dict[str, str] | None = works("to requests", alias="appendHeaders")


_BALANCING = ("ROUND_ROBIN", "LEAST_CONN", "RANDOM")


@frozen(kw_only=True)
class BalancingForm:
    """LoadBalancing."""

    name: str | None = works("", validator=optional(in_(_BALANCING)))
    custom: Any = refused(*_CUSTOM)


@frozen(kw_only=True)
class SimpleBreakerForm:
    """CircuitBreaker.SimpleCircuitBreakerPolicy."""

    connections: int | None = works("", alias="maxConnections", validator=_COUNT)
    pending: int | None = works("", alias="httpMaxPendingRequests", validator=_COUNT)
    requests: int | None = works("", alias="httpMaxRequests", validator=_COUNT)
    per_connection: int | None = works("", alias="httpMaxRequestsPerConnection", validator=_COUNT)
    retries: int | None = works("", alias="httpMaxRetries", validator=_COUNT)
    sleep: Seconds | None = works("ejected for so long at first", alias="sleepWindow")
    errors: int | None = works("5xx in a row", alias="httpConsecutiveErrors", validator=_COUNT)
    interval: Seconds | None = works("", alias="httpDetectionInterval")
    percent: int | None = works(
        "default: 10", alias="httpMaxEjectionPercent", validator=optional(and_(ge(0), le(100)))
    )


@frozen(kw_only=True)
class BreakerForm:
    """CircuitBreaker."""

    simple: SimpleBreakerForm | None = works("", form=SimpleBreakerForm, alias="simpleCb")
    custom: Any = refused(*_CUSTOM)


@frozen(kw_only=True)
class DestinationPolicyForm:
    """DestinationPolicy."""

    destination: ServiceForm | None = works("labels: for the subset of them only", form=ServiceForm)
    source: SourceForm | None = works("callers in the document's namespace", form=SourceForm)
    balancing: BalancingForm | None = works("", form=BalancingForm, alias="loadBalancing")
    breaker: BreakerForm | None = works("", form=BreakerForm, alias="circuitBreaker")
