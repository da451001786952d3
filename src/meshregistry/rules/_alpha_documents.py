"""RouteRule and DestinationPolicy of 2017 (config.istio.io/v1alpha2), as neutral rules.

Subsets had no names then: a route said labels. They get the name that Istio 0.4 gave them
in service keys: pairs of key and value, sorted and joined by commas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshregistry.documents import MappingNode
from meshregistry.model import Hostname, Labels, Selector
from meshregistry.rules import _alpha_forms as forms
from meshregistry.rules._destinations import (
    Balancing,
    ConnectionPool,
    DestinationPolicy,
    LoadBalancer,
    OutlierDetection,
    PortPolicies,
    Subset,
    TrafficPolicy,
)
from meshregistry.rules._istio_actions import refused, text_match
from meshregistry.rules._matches import CallerMatch, HttpMatch, NamedMatch, TextMatch, TextMatchKind
from meshregistry.rules._routes import (
    Abort,
    Cors,
    Delay,
    Destination,
    FaultInjection,
    HeaderOperations,
    HttpRoute,
    Mirror,
    Redirect,
    Retry,
    Rewrite,
    RouteRule,
    WeightedDestination,
)
from meshregistry.rules._wire import header_name_fault, header_value_fault, text_fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshregistry.documents import AnyNode, RuleDocument
    from meshregistry.rules._reading import Reading

_WHOLE = 100
_RETRY_ON = ("5xx", "connect-failure", "refused-stream")
_DEFAULT_EJECTION = 10
_METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}
_BALANCING = {
    "ROUND_ROBIN": Balancing.ROUND_ROBIN,
    "LEAST_CONN": Balancing.LEAST_REQUEST,
    "RANDOM": Balancing.RANDOM,
}
_PARTS = ("scheme", "method", "authority")


def subset_name(labels: Mapping[str, str]) -> str:
    """The name of the endpoints with these labels (Istio 0.4, service keys)."""
    return ",".join(f"{key}={value}" if value else key for key, value in sorted(labels.items()))


def route_rule(document: RuleDocument, domain: str) -> Reading:
    """Read a RouteRule."""
    reader = forms.AlphaReader(document, domain)
    spec = document.root.get("spec")
    form = None if spec is None else reader.form(spec, forms.RouteRuleForm)
    if spec is None:
        reader.fail(document.root, "the document has no spec", "add spec:")
    if form is None or spec is None:
        return reader.result(tuple)
    host = _host(reader, spec, form.destination)
    if form.destination is not None and form.destination.labels:
        reader.fail(spec, "the destination of a rule has no labels", "write them in route:")
    subsets: dict[Hostname, dict[str, Labels]] = {}
    shares = [] if host is None else _shares(reader, spec, form, host, subsets)
    route = _route(reader, spec, form, shares, subsets)
    key = document.key
    return reader.result(
        lambda: (
            RouteRule(
                namespace=key.namespace,
                name=key.name,
                hosts=(host or "",),
                http=(route,),
                precedence=form.precedence,
                created=document.created,
                origin=reader.origin(document.root),
            ),
            *(
                DestinationPolicy(
                    namespace=_home(reader, of_host),
                    name=key.name,
                    host=of_host,
                    subsets=tuple(
                        Subset(name=name, labels=labels, origin=reader.origin(spec))
                        for name, labels in named.items()
                    ),
                    created=document.created,
                    origin=reader.origin(document.root),
                )
                for of_host, named in subsets.items()
            ),
        )
    )


def _host(
    reader: forms.AlphaReader, place: AnyNode, form: forms.ServiceForm | None
) -> Hostname | None:
    """The host that a reference to a service means."""
    if form is None or bool(form.name) == bool(form.service):
        reader.fail(place, "a service is named by either name or service", "write name: reviews")
        return None
    if form.service and (form.namespace or form.domain):
        reader.fail(place, "service is a whole host", "take namespace and domain out")
    namespace = form.namespace or reader.document.key.namespace
    inside = f".{namespace}" if namespace else ""
    whole = form.service or f"{form.name}{inside}.{form.domain or f'svc.{reader.domain}'}"
    if "*" in whole:
        reader.fail(place, f"{whole!r} is more than one host", "write one rule for each host")
        return None
    try:
        return Hostname(whole)
    except ValueError as error:
        reader.fail(place, str(error), "write the name of a service")
        return None


def _home(reader: forms.AlphaReader, host: Hostname) -> str:
    """The namespace of a service, where policies for it are found by every caller."""
    name, _, rest = host.partition(".")
    namespace, _, suffix = rest.partition(".")
    is_inside = bool(name) and suffix == f"svc.{reader.domain}"
    return namespace if is_inside else reader.document.key.namespace


def _shares(
    reader: forms.AlphaReader,
    spec: AnyNode,
    form: forms.RouteRuleForm,
    host: Hostname,
    subsets: dict[Hostname, dict[str, Labels]],
) -> list[WeightedDestination]:
    found = reader.forms(form.route, forms.ShareForm)
    total = sum(one.weight or 0 for _, one in found)
    if len(found) > 1 and total != _WHOLE:
        reader.fail(spec, f"the weights add up to {total}", "make them add up to 100")
    if len(found) == 1 and found[0][1].weight not in {None, _WHOLE}:
        reader.fail(found[0][0], "a single route takes all", "write weight: 100, or leave it out")
    shares = []
    for node, one in found:
        target = host if one.destination is None else _host(reader, node, one.destination)
        labels = one.labels or (one.destination.labels if one.destination else None)
        weight = 1 if len(found) == 1 else one.weight or 0
        if target is not None:
            destination = _destination(target, labels, subsets)
            shares.append(WeightedDestination(destination=destination, weight=weight))
    return shares or [WeightedDestination(destination=Destination(host))]


def _destination(
    host: Hostname,
    labels: Mapping[str, str] | None,
    subsets: dict[Hostname, dict[str, Labels]],
) -> Destination:
    if not labels:
        return Destination(host)
    name = subset_name(labels)
    subsets.setdefault(host, {})[name] = Labels(labels)
    return Destination(host, name)


def _route(
    reader: forms.AlphaReader,
    spec: AnyNode,
    form: forms.RouteRuleForm,
    shares: list[WeightedDestination],
    subsets: dict[Hostname, dict[str, Labels]],
) -> HttpRoute:
    if form.redirect is not None and (form.route or form.fault or form.rewrite or form.websocket):
        reader.fail(spec, "a redirect stands alone", "take route, fault and rewrite out")
    for one in (form.redirect, form.rewrite):
        if one is not None and one.uri is None and not one.authority:
            reader.fail(spec, "nothing is changed", "write uri: or authority:")
        refused(reader, spec, text_fault((one.uri or "") + one.authority if one else ""))
    for name, value in (form.append or {}).items():
        refused(reader, spec, header_name_fault(name))
        refused(reader, spec, header_value_fault(value))
        if not value:
            reader.fail(spec, f"the header {name} is appended without a value", "write one")
    mirror = None if form.mirror is None else _host(reader, spec, form.mirror)
    timeout = form.timeout.simple if form.timeout else None
    retry = form.retries.simple if form.retries else None
    redirect = form.redirect
    return HttpRoute(
        name=reader.document.key.name,
        matches=_matches(reader, form.match),
        destinations=() if redirect else tuple(shares),
        redirect=Redirect(path=redirect.uri, authority=redirect.authority) if redirect else None,
        rewrite=Rewrite(path=form.rewrite.uri, authority=form.rewrite.authority)
        if form.rewrite
        else None,
        timeout=timeout.timeout if timeout else None,
        retry=Retry(attempts=retry.attempts, per_try_timeout=retry.per_try, retry_on=_RETRY_ON)
        if retry
        else None,
        fault=_fault(reader, spec, form.fault),
        mirrors=(Mirror(destination=_destination(mirror, form.mirror.labels, subsets)),)
        if mirror and form.mirror
        else (),
        cors=_cors(reader, spec, form.cors),
        request=HeaderOperations(add=tuple((form.append or {}).items())),
        is_websocket=form.websocket,
        origin=reader.origin(spec),
    )


def _matches(reader: forms.AlphaReader, form: forms.MatchForm | None) -> tuple[HttpMatch, ...]:
    if form is None:
        return ()
    caller = CallerMatch()
    if form.source is not None:
        caller = CallerMatch(
            source_labels=Labels(form.source.labels or {}),
            source_namespace=form.source.namespace,
        )
    texts: dict[str, TextMatch] = {}
    headers: list[NamedMatch] = []
    place = form.request.headers if form.request else None
    if place is not None and not isinstance(place, MappingNode):
        reader.fail(place, f"must be a mapping, not {place.kind}", "write name: {exact: value}")
    for key, node in place.entries if isinstance(place, MappingNode) else ():
        name = key.text
        if name != name.lower():
            reader.fail(key, f"the header {name!r} is not in lower case", "write it so")
        text = text_match(reader, node, is_path=name == "uri")
        if text is None:
            continue
        if name == "uri" or name in _PARTS:
            texts[name] = text
        else:
            refused(reader, key, header_name_fault(name))
            headers.append(NamedMatch(name, text))
    return (
        HttpMatch(
            path=texts.get("uri"),
            scheme=texts.get("scheme"),
            method=texts.get("method"),
            authority=texts.get("authority"),
            headers=tuple(headers),
            caller=caller,
        ),
    )


def _fault(
    reader: forms.AlphaReader, place: AnyNode, form: forms.FaultForm | None
) -> FaultInjection | None:
    if form is None:
        return None
    delay, abort = form.delay, form.abort
    if delay is None and abort is None:
        reader.fail(place, "no fault is given", "write delay: or abort:")
    if delay is not None and delay.fixed is None:
        reader.fail(place, "the delay has no length", "write fixedDelay: 1s")
    if abort is not None and abort.status is None:
        reader.fail(place, "the abort has no status", "write httpStatus: 503")
    return FaultInjection(
        delay=Delay(seconds=delay.fixed, percent=_percent(delay.percent))
        if delay and delay.fixed is not None
        else None,
        abort=Abort(http_status=abort.status, percent=_percent(abort.percent)) if abort else None,
    )


def _percent(given: float | None) -> float:
    return float(_WHOLE) if given is None else given


def _cors(reader: forms.AlphaReader, place: AnyNode, form: forms.CorsForm | None) -> Cors | None:
    if form is None:
        return None
    for method in form.methods:
        if method not in _METHODS:
            reader.fail(place, f"{method!r} is not a method of HTTP", "write one such as GET")
    if form.max_age is not None and not float(form.max_age).is_integer():
        reader.fail(place, f"maxAge is {form.max_age} s", "write whole seconds")
    return Cors(
        origins=tuple(TextMatch(TextMatchKind.EXACT, origin) for origin in form.origins),
        methods=form.methods,
        headers=form.headers,
        exposed=form.exposed,
        max_age=form.max_age,
        is_credentials_allowed=form.credentials,
    )


def destination_policy(document: RuleDocument, domain: str) -> Reading:
    """Read a DestinationPolicy."""
    reader = forms.AlphaReader(document, domain)
    spec = document.root.get("spec")
    form = None if spec is None else reader.form(spec, forms.DestinationPolicyForm)
    if spec is None:
        reader.fail(document.root, "the document has no spec", "add spec:")
    if form is None or spec is None:
        return reader.result(tuple)
    host = _host(reader, spec, form.destination)
    labels = Labels((form.destination.labels if form.destination else None) or {})
    policies = PortPolicies(all=_policy(reader, spec, form))
    selector: Selector | None = None
    if form.source is not None:
        if form.source.namespace not in {"", document.key.namespace}:
            reader.fail(
                spec,
                "a policy is for callers in its own namespace",
                "write the document into the namespace of the callers",
            )
        selector = Selector(Labels(form.source.labels or {})) if form.source.labels else None
    key = document.key
    own = Subset(
        name=subset_name(labels), labels=labels, policies=policies, origin=reader.origin(spec)
    )
    return reader.result(
        lambda: (
            DestinationPolicy(
                namespace=key.namespace,
                name=key.name,
                host=host or "",
                policies=PortPolicies() if labels else policies,
                subsets=(own,) if labels else (),
                selector=selector,
                created=document.created,
                origin=reader.origin(document.root),
            ),
        )
    )


def _policy(
    reader: forms.AlphaReader, place: AnyNode, form: forms.DestinationPolicyForm
) -> TrafficPolicy:
    breaker = form.breaker.simple if form.breaker else None
    name = form.balancing.name if form.balancing else None
    if breaker is None:
        return TrafficPolicy(
            load_balancer=LoadBalancer(balancing=_BALANCING[name]) if name else None
        )
    for what, seconds in (("sleepWindow", breaker.sleep), ("interval", breaker.interval)):
        if seconds is not None and seconds < 1:
            reader.warn(place, f"{what} of {seconds} s is below a second", "write 1s at least")
    return TrafficPolicy(
        load_balancer=LoadBalancer(balancing=_BALANCING[name]) if name else None,
        connection_pool=ConnectionPool(
            max_connections=breaker.connections,
            max_pending_requests=breaker.pending,
            max_requests=breaker.requests,
            max_requests_per_connection=breaker.per_connection,
            max_retries=breaker.retries,
        ),
        outlier_detection=OutlierDetection(
            consecutive_5xx=breaker.errors,
            interval=breaker.interval,
            base_ejection_time=breaker.sleep,
            max_ejection_percent=_DEFAULT_EJECTION if breaker.percent is None else breaker.percent,
        ),
    )
