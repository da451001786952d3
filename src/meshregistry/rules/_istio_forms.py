"""The pieces of VirtualService documents (networking.istio.io), field by field."""

from __future__ import annotations

import enum
from typing import Any

from attrs import field, frozen
from attrs.validators import and_, ge, gt, le, min_len, optional

from meshregistry.documents import Seconds
from meshregistry.rules._forms import refused, works

_PORT = optional(and_(ge(1), le(65535)))
_PERCENT = optional(and_(ge(0), le(100)))
_STATUS = optional(and_(ge(200), le(599)))
_TIME = optional(ge(0.001))


@frozen(kw_only=True)
class TextForm:
    """StringMatch: one of them."""

    exact: str | None = works("equal")
    prefix: str | None = works("starts with")
    regex: str | None = works("RE2, matches as a whole")


@frozen(kw_only=True)
class MatchForm:
    """HTTPMatchRequest."""

    name: str = works("name of the match in the route's name", default="")
    uri: Any = works("path, without the query", form=TextForm)
    scheme: Any = works("", form=TextForm)
    method: Any = works("", form=TextForm)
    authority: Any = works("Host header", form=TextForm)
    headers: Any = works("by lower-case name; an empty match: is present")
    without_headers: Any = works("must not match", alias="withoutHeaders")
    query_params: Any = works("by name; an empty match: is present", alias="queryParams")
    port: int | None = works("that is called", validator=_PORT)
    source_labels: dict[str, str] | None = works("of the caller", alias="sourceLabels")
    source_namespace: str = works("of the caller", default="", alias="sourceNamespace")
    gateways: tuple[str, ...] = works("instead of the rule's", default=())
    ignore_uri_case: bool = works("for exact and prefix", default=False, alias="ignoreUriCase")
    stat_prefix: str = works("of Envoy's statistics", default="", alias="statPrefix")


@frozen(kw_only=True)
class PortForm:
    """PortSelector."""

    number: int = field(validator=and_(ge(1), le(65535)))


@frozen(kw_only=True)
class DestinationForm:
    """Destination."""

    host: str = works("short names get the document's namespace", validator=min_len(1))
    subset: str = works("of a DestinationRule", default="")
    port: PortForm | None = works("may be left out if the service has one", form=PortForm)


@frozen(kw_only=True)
class HeaderForm:
    """HeaderOperations."""

    set: dict[str, str] | None = works("replaces")
    add: dict[str, str] | None = works("appends")
    remove: tuple[str, ...] = works("", default=())


@frozen(kw_only=True)
class HeadersForm:
    """Headers."""

    request: HeaderForm | None = works("", form=HeaderForm)
    response: HeaderForm | None = works("", form=HeaderForm)


@frozen(kw_only=True)
class ShareForm:
    """HTTPRouteDestination."""

    destination: Any = works("", form=DestinationForm)
    weight: int | None = works("0 to 100; together 100", validator=_PERCENT)
    headers: HeadersForm | None = works("for this share only", form=HeadersForm)


class _RedirectPort(enum.Enum):
    FROM_PROTOCOL_DEFAULT = "FROM_PROTOCOL_DEFAULT"
    FROM_REQUEST_PORT = "FROM_REQUEST_PORT"


@frozen(kw_only=True)
class RedirectForm:
    """HTTPRedirect."""

    uri: str | None = works("the whole path")
    authority: str = works("", default="")
    port: int | None = works("", validator=_PORT)
    derive_port: _RedirectPort | None = works("instead of port", alias="derivePort")
    scheme: str = works("", default="")
    code: int = works("301, 302, 303, 307 or 308", default=301, alias="redirectCode")


@frozen(kw_only=True)
class BodyForm:
    """HTTPBody."""

    string: str | None = works("")
    bytes: Any = refused("bytes cannot be given in base64 here", "write string:")


@frozen(kw_only=True)
class ResponseForm:
    """HTTPDirectResponse."""

    status: int = works("200 to 599", validator=[ge(200), le(599)])
    body: BodyForm | None = works("", form=BodyForm)


@frozen(kw_only=True)
class RegexRewriteForm:
    """RegexRewrite."""

    match: str = field(validator=min_len(1))
    rewrite: str = ""


@frozen(kw_only=True)
class RewriteForm:
    """HTTPRewrite."""

    uri: str | None = works("replaces what the match's path or prefix matched")
    authority: str = works("", default="")
    regex: RegexRewriteForm | None = works(
        "rewrites the path", form=RegexRewriteForm, alias="uriRegexRewrite"
    )


@frozen(kw_only=True)
class RetryForm:
    """HTTPRetry."""

    attempts: int = works("further tries; 0: none", default=0, validator=ge(0))
    per_try_timeout: Seconds | None = works("", alias="perTryTimeout", validator=_TIME)
    retry_on: str = works("Envoy's words and status codes", default="", alias="retryOn")
    remote: bool = works("prefer other localities", default=False, alias="retryRemoteLocalities")
    avoids: bool = works(
        "prefer hosts not tried yet", default=True, alias="retryIgnorePreviousHosts"
    )
    backoff: Seconds | None = works("before the first retry", validator=_TIME)


@frozen(kw_only=True)
class PercentForm:
    """Percent."""

    value: float = field(default=0.0, validator=and_(ge(0.0), le(100.0)))


@frozen(kw_only=True)
class DelayForm:
    """HTTPFaultInjection.Delay."""

    fixed: Seconds | None = works("", alias="fixedDelay", validator=optional(gt(0.0)))
    percentage: PercentForm | None = works("default: all", form=PercentForm)
    percent: int | None = works("older form of percentage", validator=_PERCENT)
    exponential: Any = refused(
        "only fixed delays are known", "write fixedDelay:", alias="exponentialDelay"
    )


@frozen(kw_only=True)
class AbortForm:
    """HTTPFaultInjection.Abort."""

    http_status: int | None = works("200 to 599", alias="httpStatus", validator=_STATUS)
    grpc_status: str = works("number or name such as UNAVAILABLE", default="", alias="grpcStatus")
    percentage: PercentForm | None = works("default: all", form=PercentForm)
    percent: int | None = works("older form of percentage", validator=_PERCENT)
    http2_error: Any = refused(
        "HTTP/2 error codes cannot be injected", "write httpStatus:", alias="http2Error"
    )


@frozen(kw_only=True)
class FaultForm:
    """HTTPFaultInjection."""

    delay: Any = works("", form=DelayForm)
    abort: Any = works("", form=AbortForm)


@frozen(kw_only=True)
class MirrorForm:
    """HTTPMirrorPolicy."""

    destination: Any = works("", form=DestinationForm)
    percentage: PercentForm | None = works("default: all", form=PercentForm)


@frozen(kw_only=True)
class CorsForm:
    """CorsPolicy."""

    origins: tuple[Any, ...] = works("", form=TextForm, default=(), alias="allowOrigins")
    origin: tuple[str, ...] = works("older form: exact origins", default=(), alias="allowOrigin")
    methods: tuple[str, ...] = works("", default=(), alias="allowMethods")
    headers: tuple[str, ...] = works("", default=(), alias="allowHeaders")
    exposed: tuple[str, ...] = works("", default=(), alias="exposeHeaders")
    max_age: Seconds | None = works("whole seconds", alias="maxAge")
    credentials: bool | None = works("", alias="allowCredentials")
    unmatched: str | None = works("FORWARD or IGNORE", alias="unmatchedPreflights")


@frozen(kw_only=True)
class DelegateForm:
    """Delegate."""

    name: str = field(validator=min_len(1))
    namespace: str = works("default: the document's", default="")


@frozen(kw_only=True)
class RouteForm:
    """HTTPRoute."""

    name: str = works("of Envoy's route", default="")
    match: tuple[Any, ...] = works("one of them suffices", form=MatchForm, default=())
    route: tuple[Any, ...] = works("", form=ShareForm, default=())
    redirect: Any = works("", form=RedirectForm)
    response: Any = works("", form=ResponseForm, alias="directResponse")
    delegate: DelegateForm | None = works("to a document without hosts", form=DelegateForm)
    rewrite: Any = works("", form=RewriteForm)
    timeout: Seconds | None = works("default: none", validator=optional(ge(0.0)))
    retries: Any = works("default: 2, of what never arrived", form=RetryForm)
    fault: Any = works("", form=FaultForm)
    mirror: Any = works("", form=DestinationForm)
    mirror_percentage: PercentForm | None = works("", form=PercentForm, alias="mirrorPercentage")
    mirror_percent: int | None = works("", validator=_PERCENT, alias="mirrorPercent")
    mirrors: tuple[Any, ...] = works("", form=MirrorForm, default=())
    cors: Any = works("", form=CorsForm, alias="corsPolicy")
    headers: HeadersForm | None = works("", form=HeadersForm)


@frozen(kw_only=True)
class ConnectionMatchForm:
    """TLSMatchAttributes and L4MatchAttributes."""

    server_names: tuple[str, ...] = works("TLS only; required there", default=(), alias="sniHosts")
    subnets: Any = refused(
        "destination addresses cannot be matched without interception",
        "match by port",
        alias="destinationSubnets",
    )
    source_subnet: Any = refused(
        "source addresses cannot be matched", "match by sourceLabels", alias="sourceSubnet"
    )
    port: int | None = works("that is called", validator=_PORT)
    source_labels: dict[str, str] | None = works("of the caller", alias="sourceLabels")
    source_namespace: str = works("of the caller", default="", alias="sourceNamespace")
    gateways: tuple[str, ...] = works("instead of the rule's", default=())


@frozen(kw_only=True)
class ConnectionShareForm:
    """RouteDestination."""

    destination: Any = works("", form=DestinationForm)
    weight: int | None = works("0 to 100; together 100", validator=_PERCENT)


@frozen(kw_only=True)
class ConnectionForm:
    """TLSRoute and TCPRoute."""

    match: tuple[Any, ...] = works("", form=ConnectionMatchForm, default=())
    route: tuple[Any, ...] = works("", form=ConnectionShareForm, default=())


@frozen(kw_only=True)
class VirtualServiceForm:
    """VirtualService."""

    hosts: tuple[str, ...] = works(
        "of services or of gateways; none: others delegate to it", default=()
    )
    gateways: tuple[str, ...] = works("default: mesh (sidecars)", default=())
    http: tuple[Any, ...] = works("the first match decides", form=RouteForm, default=())
    tls: tuple[Any, ...] = works("by server name", form=ConnectionForm, default=())
    tcp: tuple[Any, ...] = works(
        "the first that is for the caller", form=ConnectionForm, default=()
    )
    export_to: tuple[str, ...] = works("default: all", default=("*",), alias="exportTo")
