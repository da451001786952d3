"""Routes of the Kubernetes Gateway API: HTTPRoute, GRPCRoute, TLSRoute and TCPRoute."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from attrs import evolve

from meshregistry.documents import MappingNode
from meshregistry.model import Hostname
from meshregistry.rules import _gateway_api_forms as forms
from meshregistry.rules._forms import Reader, texts
from meshregistry.rules._gateway_api_filters import destination, filtered
from meshregistry.rules._istio_actions import is_expression, refused
from meshregistry.rules._matches import (
    CallerMatch,
    ConnectionMatch,
    HttpMatch,
    NamedMatch,
    TextMatch,
    TextMatchKind,
)
from meshregistry.rules._routes import (
    MESH,
    ConnectionRoute,
    DirectResponse,
    HttpRoute,
    Retry,
    RouteRule,
    WeightedDestination,
)
from meshregistry.rules._wire import header_name_fault, text_fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from meshregistry.documents import AnyNode, RuleDocument
    from meshregistry.rules._reading import Reading

_ERROR = 500
_TRIES = 2
_SEGMENT = "[^/]+"
_PLACES = (TextMatchKind.SEGMENTS, TextMatchKind.REGEX, TextMatchKind.EXACT)


def http_route(document: RuleDocument, domain: str) -> Reading:
    """Read an HTTPRoute."""
    return _requests(document, domain, forms.HttpRouteForm, forms.HttpRuleForm)


def grpc_route(document: RuleDocument, domain: str) -> Reading:
    """Read a GRPCRoute."""
    return _requests(document, domain, forms.GrpcRouteForm, forms.GrpcRuleForm)


def tls_route(document: RuleDocument, domain: str) -> Reading:
    """Read a TLSRoute."""
    return _connections(document, domain, forms.TlsRouteForm, is_tls=True)


def tcp_route(document: RuleDocument, domain: str) -> Reading:
    """Read a TCPRoute."""
    return _connections(document, domain, forms.TcpRouteForm, is_tls=False)


def _requests(document: RuleDocument, domain: str, whole: type[Any], of_rule: type[Any]) -> Reading:
    reader = Reader(document, domain)
    spec, form = _spec(reader, whole)
    if form is None or spec is None:
        return reader.result(tuple)
    routes = [
        route
        for node, rule in reader.forms(form.rules, of_rule)
        for route in _routes(reader, node, rule)
    ]
    # The specification's order within a document; Python's sort keeps what is equal.
    routes.sort(key=_rank, reverse=True)
    hosts = tuple(_hostnames(reader, spec))
    parents = list(_parents(reader, spec, form))
    return reader.result(
        lambda: _rules(reader, parents, hosts or ("*",), http=tuple(routes)),
    )


def _connections(document: RuleDocument, domain: str, whole: type[Any], *, is_tls: bool) -> Reading:
    reader = Reader(document, domain)
    spec, form = _spec(reader, whole)
    if form is None or spec is None:
        return reader.result(tuple)
    hosts = tuple(_hostnames(reader, spec)) if is_tls else ()
    routes = []
    for node, rule in reader.forms(form.rules, forms.ConnectionRuleForm):
        shares = _shares(reader, rule.backends)
        if not shares:
            reader.fail(node, "the rule leads nowhere", "add backendRefs:")
        matches = (ConnectionMatch(server_names=hosts),) if hosts else ()
        routes.append(
            ConnectionRoute(matches=matches, destinations=tuple(shares), origin=reader.origin(node))
        )
    parents = list(_parents(reader, spec, form))
    kinds = {"tls": tuple(routes)} if is_tls else {"tcp": tuple(routes)}
    return reader.result(lambda: _rules(reader, parents, hosts or ("*",), **kinds))


def _spec(reader: Reader, whole: type[Any]) -> tuple[MappingNode | None, Any]:
    spec = reader.document.root.get("spec")
    if spec is None:
        reader.fail(reader.document.root, "the document has no spec", "add spec:")
        return None, None
    form = reader.form(spec, whole)
    return (spec if isinstance(spec, MappingNode) else None), form


def _hostnames(reader: Reader, spec: MappingNode) -> Iterator[str]:
    for place, text in texts(spec.get("hostnames")):
        try:
            yield Hostname(text)
        except ValueError as error:
            reason, _, remedy = str(error).partition(": ")
            reader.fail(place, reason, remedy)


def _parents(
    reader: Reader, spec: MappingNode, form: Any
) -> Iterator[tuple[forms.ParentForm, str]]:
    """Each parent, with its namespace."""
    if not form.parents:
        reader.fail(spec, "there is no parent", "add parentRefs: with the gateway's name")
    for node, parent in reader.forms(form.parents, forms.ParentForm):
        if parent.kind == "Service" and parent.group not in {"", "core"}:
            reader.fail(node, f"no services are in {parent.group}", "write group: ''")
        yield parent, parent.namespace or reader.document.key.namespace


def _rules(
    reader: Reader,
    parents: Iterable[tuple[forms.ParentForm, str]],
    hosts: tuple[str, ...],
    **routes: Any,
) -> Iterator[RouteRule]:
    """A rule for all gateways together, and one for each service that is a parent."""
    document = reader.document
    key = document.key
    rule = RouteRule(
        namespace=key.namespace,
        name=key.name,
        hosts=hosts,
        created=document.created,
        origin=reader.origin(document.root),
        **routes,
    )
    gateways: dict[int | None, list[str]] = {}
    for parent, namespace in parents:
        if parent.kind == "Service":
            host = f"{parent.name}.{namespace}.svc.{reader.domain}"
            yield evolve(_at_port(rule, parent.port), hosts=(host,), gateways=(MESH,))
        else:
            section = f"/{parent.section}" if parent.section else ""
            gateways.setdefault(parent.port, []).append(f"{namespace}/{parent.name}{section}")
    for port, names in gateways.items():
        yield evolve(_at_port(rule, port), gateways=tuple(dict.fromkeys(names)))


def _at_port(rule: RouteRule, port: int | None) -> RouteRule:
    """The rule for callers of one port only."""
    if port is None:
        return rule
    caller = CallerMatch(port=port)

    def connections(routes: tuple[ConnectionRoute, ...]) -> tuple[ConnectionRoute, ...]:
        return tuple(
            evolve(
                route,
                matches=tuple(
                    evolve(one, caller=caller) for one in route.matches or (ConnectionMatch(),)
                ),
            )
            for route in routes
        )

    http = tuple(
        evolve(
            route,
            matches=tuple(evolve(one, caller=caller) for one in route.matches or (HttpMatch(),)),
        )
        for route in rule.http
    )
    return evolve(rule, http=http, tls=connections(rule.tls), tcp=connections(rule.tcp))


def _routes(reader: Reader, node: AnyNode, rule: Any) -> Iterator[HttpRoute]:
    """A route for each match of a rule, since each has a rank of its own."""
    values = filtered(reader, rule.filters)
    shares = _shares(reader, rule.backends)
    if shares and "redirect" in values:
        reader.fail(node, "a redirect leads to no backend", "take out one of them")
    timeouts = getattr(rule, "timeouts", None) or forms.TimeoutsForm()
    if shares and any(share.weight for share in shares):
        values["destinations"] = tuple(shares)
    elif "redirect" not in values:
        values["response"] = DirectResponse(status=_ERROR)
    route = HttpRoute(
        name=rule.name,
        timeout=timeouts.request or None,
        retry=_retry(getattr(rule, "retry", None), timeouts),
        origin=reader.origin(node),
        **values,
    )
    if not rule.matches:
        yield route
    elif isinstance(rule, forms.GrpcRuleForm):
        for place, one in reader.forms(rule.matches, forms.GrpcMatchForm):
            yield evolve(route, matches=(_grpc_match(reader, place, one),))
    else:
        for _, match in reader.forms(rule.matches, forms.HttpMatchForm):
            yield evolve(route, matches=(_http_match(reader, match),))


def _retry(form: forms.RetryForm | None, timeouts: forms.TimeoutsForm) -> Retry | None:
    if form is None and not timeouts.backend:
        return None
    form = form or forms.RetryForm(attempts=_TRIES)
    codes = tuple(str(code) for code in form.codes)
    return Retry(
        attempts=form.attempts,
        per_try_timeout=timeouts.backend or None,
        retry_on=("connect-failure", "refused-stream", *codes) if codes else (),
        backoff=form.backoff or None,
    )


def _shares(reader: Reader, nodes: Iterable[AnyNode]) -> list[WeightedDestination]:
    found = []
    for node, form in reader.forms(nodes, forms.BackendForm):
        target = destination(reader, node, form)
        headers = filtered(reader, form.filters, is_backend=True)
        if target is not None:
            found.append(WeightedDestination(destination=target, weight=form.weight, **headers))
    return found


def _http_match(reader: Reader, form: forms.HttpMatchForm) -> HttpMatch:
    path = None if form.path is None else reader.form(form.path, forms.PathForm)
    found: TextMatch | None = None
    if path is not None:
        place = form.path
        if path.type == "RegularExpression":
            is_expression(reader, place, path.value)
            found = TextMatch(TextMatchKind.REGEX, path.value)
        else:
            if not path.value.startswith("/"):
                reader.fail(place, f"the path {path.value!r} is relative", "begin it with /")
            refused(reader, place, text_fault(path.value))
            is_exact = path.type == "Exact"
            kind = TextMatchKind.EXACT if is_exact else TextMatchKind.SEGMENTS
            found = TextMatch(kind, path.value)
    return HttpMatch(
        path=found,
        method=TextMatch(TextMatchKind.EXACT, form.method) if form.method else None,
        headers=tuple(_named(reader, form.headers, is_header=True)),
        query=tuple(_named(reader, form.query)),
    )


def _named(
    reader: Reader, nodes: Iterable[AnyNode], *, is_header: bool = False
) -> Iterator[NamedMatch]:
    """Conditions by name; of two for one name the first counts (the specification says so)."""
    seen: set[str] = set()
    for node, form in reader.forms(nodes, forms.NamedForm):
        name = form.name.lower() if is_header else form.name
        if name in seen:
            reader.warn(node, f"{name} was named before and is left out", "keep one of them")
            continue
        seen.add(name)
        if is_header:
            refused(reader, node, header_name_fault(name))
        if form.type == "RegularExpression":
            is_expression(reader, node, form.value)
            yield NamedMatch(name, TextMatch(TextMatchKind.REGEX, form.value))
        else:
            refused(reader, node, text_fault(form.value))
            yield NamedMatch(name, TextMatch(TextMatchKind.EXACT, form.value))


def _grpc_match(reader: Reader, node: AnyNode, form: forms.GrpcMatchForm) -> HttpMatch:
    """A method of gRPC is the path ``/service/method``."""
    path: TextMatch | None = None
    method = form.method
    if method is not None:
        if not method.service and not method.method:
            reader.fail(node, "the method names nothing", "write service: or method:")
        if method.type == "RegularExpression":
            text = f"/{method.service or _SEGMENT}/{method.method or _SEGMENT}"
            is_expression(reader, node, text)
            path = TextMatch(TextMatchKind.REGEX, text)
        elif method.service and method.method:
            path = TextMatch(TextMatchKind.EXACT, f"/{method.service}/{method.method}")
        elif method.service:
            path = TextMatch(TextMatchKind.PREFIX, f"/{method.service}/")
        else:
            path = TextMatch(TextMatchKind.REGEX, f"/{_SEGMENT}/{re.escape(method.method)}")
    return HttpMatch(path=path, headers=tuple(_named(reader, form.headers, is_header=True)))


def _rank(route: HttpRoute) -> tuple[int, int, bool, int, int]:
    """The specification's order of matches: the higher first.

    Exact paths before expressions before prefixes, longer ones first; then those with a
    method, with more headers, with more query parameters.
    """
    match = route.matches[0] if route.matches else HttpMatch()
    path = match.path
    kind = _PLACES.index(path.kind) if path is not None and path.kind in _PLACES else 0
    length = 0 if path is None else len(path.value.rstrip("/"))
    return (kind, length, match.method is not None, len(match.headers), len(match.query))
