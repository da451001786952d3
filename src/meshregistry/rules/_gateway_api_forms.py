"""The pieces of routes of the Kubernetes Gateway API, field by field."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen
from attrs.validators import and_, ge, in_, le, min_len, optional

from meshregistry.documents import Seconds
from meshregistry.rules._forms import idle, refused, works

_PORT = optional(and_(ge(1), le(65535)))
_SHARE = and_(ge(0), le(1_000_000))
_TIME = optional(ge(0.0))
_REDIRECTS = (301, 302, 303, 307, 308)
_STICKY = ("sessions cannot be kept", "balance by hash with a DestinationRule")


@frozen(kw_only=True)
class ParentForm:
    """ParentReference."""

    group: str = works("", default="gateway.networking.k8s.io")
    kind: str = works(
        "Gateway, or Service for sidecars", default="Gateway", validator=in_(("Gateway", "Service"))
    )
    namespace: str = works("default: the document's", default="")
    name: str = works("", default="", validator=min_len(1))
    section: str = works("one listener of the gateway", default="", alias="sectionName")
    port: int | None = works("that is called", validator=_PORT)


@frozen(kw_only=True)
class PathForm:
    """HTTPPathMatch."""

    type: str = works(
        "Exact, PathPrefix or RegularExpression",
        default="PathPrefix",
        validator=in_(("Exact", "PathPrefix", "RegularExpression")),
    )
    value: str = works("", default="/")


@frozen(kw_only=True)
class NamedForm:
    """HTTPHeaderMatch, HTTPQueryParamMatch and GRPCHeaderMatch."""

    type: str = works(
        "Exact or RegularExpression",
        default="Exact",
        validator=in_(("Exact", "RegularExpression")),
    )
    name: str = works("", default="", validator=min_len(1))
    value: str = works("", default="")


@frozen(kw_only=True)
class HttpMatchForm:
    """HTTPRouteMatch."""

    path: Any = works("", form=PathForm)
    headers: tuple[Any, ...] = works("", form=NamedForm, default=())
    query: tuple[Any, ...] = works("", form=NamedForm, default=(), alias="queryParams")
    method: str | None = works("")


@frozen(kw_only=True)
class HeaderForm:
    """HTTPHeader."""

    name: str = field(validator=min_len(1))
    value: str = ""


@frozen(kw_only=True)
class HeadersForm:
    """HTTPHeaderFilter."""

    set: tuple[HeaderForm, ...] = works("replaces", default=())
    add: tuple[HeaderForm, ...] = works("appends", default=())
    remove: tuple[str, ...] = works("", default=())


@frozen(kw_only=True)
class PathModifierForm:
    """HTTPPathModifier."""

    type: str = works("", default="", validator=in_(("ReplaceFullPath", "ReplacePrefixMatch")))
    full: str | None = works("", alias="replaceFullPath")
    prefix: str | None = works("", alias="replacePrefixMatch")


@frozen(kw_only=True)
class RedirectForm:
    """HTTPRequestRedirectFilter."""

    scheme: str | None = works("", validator=optional(in_(("http", "https"))))
    hostname: str = works("", default="")
    path: PathModifierForm | None = works("", form=PathModifierForm)
    port: int | None = works("default: of the scheme, else the listener's", validator=_PORT)
    status: int = works(
        "301, 302, 303, 307 or 308", default=302, alias="statusCode", validator=in_(_REDIRECTS)
    )


@frozen(kw_only=True)
class RewriteForm:
    """HTTPURLRewriteFilter."""

    hostname: str = works("", default="")
    path: PathModifierForm | None = works("", form=PathModifierForm)


@frozen(kw_only=True)
class FractionForm:
    """Fraction."""

    numerator: int = field(validator=ge(0))
    denominator: int = field(default=100, validator=ge(1))


@frozen(kw_only=True)
class TargetForm:
    """BackendObjectReference."""

    group: str = works("empty", default="", validator=in_(("",)))
    kind: str = works("Service", default="Service", validator=in_(("Service",)))
    name: str = works("", default="", validator=min_len(1))
    namespace: str = works("another one needs a ReferenceGrant", default="")
    port: int | None = works("of the service", validator=_PORT)


@frozen(kw_only=True)
class MirrorForm:
    """HTTPRequestMirrorFilter."""

    backend: Any = works("", form=TargetForm, alias="backendRef")
    percent: int | None = works("", validator=optional(and_(ge(0), le(100))))
    fraction: FractionForm | None = works("")


@frozen(kw_only=True)
class CorsForm:
    """HTTPCORSFilter."""

    origins: tuple[str, ...] = works("with * inside, too", default=(), alias="allowOrigins")
    methods: tuple[str, ...] = works("", default=(), alias="allowMethods")
    headers: tuple[str, ...] = works("", default=(), alias="allowHeaders")
    exposed: tuple[str, ...] = works("", default=(), alias="exposeHeaders")
    credentials: bool | None = works("", alias="allowCredentials")
    max_age: int | None = works("seconds", alias="maxAge", validator=optional(ge(1)))


_FILTERS = (
    "RequestHeaderModifier",
    "ResponseHeaderModifier",
    "RequestRedirect",
    "URLRewrite",
    "RequestMirror",
    "CORS",
)


@frozen(kw_only=True)
class FilterForm:
    """HTTPRouteFilter and GRPCRouteFilter."""

    type: str = works("", default="", validator=in_(_FILTERS))
    request: HeadersForm | None = works("", form=HeadersForm, alias="requestHeaderModifier")
    response: HeadersForm | None = works("", form=HeadersForm, alias="responseHeaderModifier")
    redirect: Any = works("", form=RedirectForm, alias="requestRedirect")
    rewrite: Any = works("", form=RewriteForm, alias="urlRewrite")
    mirror: Any = works("", form=MirrorForm, alias="requestMirror")
    cors: Any = works("", form=CorsForm)
    extension: Any = refused(
        "extensions are not known",
        "write a plugin with a resource patch, docs/how-to/patch-resources.md",
        alias="extensionRef",
    )


@frozen(kw_only=True)
class BackendForm:
    """HTTPBackendRef, GRPCBackendRef and BackendRef."""

    group: str = works("empty", default="", validator=in_(("",)))
    kind: str = works("Service", default="Service", validator=in_(("Service",)))
    name: str = works("", default="", validator=min_len(1))
    namespace: str = works("another one needs a ReferenceGrant", default="")
    port: int | None = works("of the service", validator=_PORT)
    weight: int = works("by the sum of all", default=1, validator=_SHARE)
    filters: tuple[Any, ...] = works("header modifiers only", form=FilterForm, default=())


@frozen(kw_only=True)
class TimeoutsForm:
    """HTTPRouteTimeouts."""

    request: Seconds | None = works("0s: none", validator=_TIME)
    backend: Seconds | None = works("for each try", alias="backendRequest", validator=_TIME)


@frozen(kw_only=True)
class RetryForm:
    """HTTPRouteRetry."""

    codes: tuple[int, ...] = works("that are tried again", default=())
    attempts: int = works("", default=2, validator=ge(0))
    backoff: Seconds | None = works("before the first", validator=_TIME)


@frozen(kw_only=True)
class HttpRuleForm:
    """HTTPRouteRule."""

    name: str = works("", default="")
    matches: tuple[Any, ...] = works("default: all", form=HttpMatchForm, default=())
    filters: tuple[Any, ...] = works("", form=FilterForm, default=())
    backends: tuple[Any, ...] = works(
        "none: 500", form=BackendForm, default=(), alias="backendRefs"
    )
    timeouts: TimeoutsForm | None = works("", form=TimeoutsForm)
    retry: RetryForm | None = works("", form=RetryForm)
    session: Any = refused(*_STICKY, alias="sessionPersistence")


@frozen(kw_only=True)
class HttpRouteForm:
    """HTTPRoute."""

    parents: tuple[Any, ...] = works("", form=ParentForm, default=(), alias="parentRefs")
    hostnames: tuple[str, ...] = works("default: those of the listener", default=())
    rules: tuple[Any, ...] = works(
        "in the order of the specification", form=HttpRuleForm, default=()
    )
    default_gateways: Any = idle("name the gateways", alias="useDefaultGateways")


@frozen(kw_only=True)
class MethodForm:
    """GRPCMethodMatch."""

    type: str = works(
        "Exact or RegularExpression",
        default="Exact",
        validator=in_(("Exact", "RegularExpression")),
    )
    service: str = works("", default="")
    method: str = works("", default="")


@frozen(kw_only=True)
class GrpcMatchForm:
    """GRPCRouteMatch."""

    method: MethodForm | None = works("", form=MethodForm)
    headers: tuple[Any, ...] = works("", form=NamedForm, default=())


@frozen(kw_only=True)
class GrpcRuleForm:
    """GRPCRouteRule."""

    name: str = works("", default="")
    matches: tuple[Any, ...] = works("default: all", form=GrpcMatchForm, default=())
    filters: tuple[Any, ...] = works("", form=FilterForm, default=())
    backends: tuple[Any, ...] = works(
        "none: 500", form=BackendForm, default=(), alias="backendRefs"
    )
    session: Any = refused(*_STICKY, alias="sessionPersistence")


@frozen(kw_only=True)
class GrpcRouteForm:
    """GRPCRoute."""

    parents: tuple[Any, ...] = works("", form=ParentForm, default=(), alias="parentRefs")
    hostnames: tuple[str, ...] = works("default: those of the listener", default=())
    rules: tuple[Any, ...] = works(
        "in the order of the specification", form=GrpcRuleForm, default=()
    )
    default_gateways: Any = idle("name the gateways", alias="useDefaultGateways")


@frozen(kw_only=True)
class ConnectionRuleForm:
    """TLSRouteRule and TCPRouteRule."""

    name: str = works("", default="")
    backends: tuple[Any, ...] = works("", form=BackendForm, default=(), alias="backendRefs")


@frozen(kw_only=True)
class TlsRouteForm:
    """TLSRoute."""

    parents: tuple[Any, ...] = works("", form=ParentForm, default=(), alias="parentRefs")
    hostnames: tuple[str, ...] = works("server names", default=())
    rules: tuple[Any, ...] = works("one of them", form=ConnectionRuleForm, default=())
    default_gateways: Any = idle("name the gateways", alias="useDefaultGateways")


@frozen(kw_only=True)
class TcpRouteForm:
    """TCPRoute."""

    parents: tuple[Any, ...] = works("", form=ParentForm, default=(), alias="parentRefs")
    rules: tuple[Any, ...] = works("one of them", form=ConnectionRuleForm, default=())
    default_gateways: Any = idle("name the gateways", alias="useDefaultGateways")
