"""VirtualService of networking.istio.io: routes of a host, as today's documents say them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshregistry.documents import MappingNode, ScalarNode
from meshregistry.model import Labels
from meshregistry.rules import _istio_forms as forms
from meshregistry.rules._forms import Reader, texts
from meshregistry.rules._istio_actions import actions, refused, share_of, text_match
from meshregistry.rules._matches import (
    CallerMatch,
    ConnectionMatch,
    HttpMatch,
    NamedMatch,
    TextMatch,
    TextMatchKind,
)
from meshregistry.rules._routes import MESH, ConnectionRoute, HttpRoute, RouteRule
from meshregistry.rules._wire import header_name_fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshregistry.documents import AnyNode, RuleDocument
    from meshregistry.rules._reading import Reading
    from meshregistry.rules._routes import WeightedDestination

_WHOLE = 100


def virtual_service(document: RuleDocument, domain: str) -> Reading:
    """Read a VirtualService."""
    reader = Reader(document, domain)
    spec = document.root.get("spec")
    form = None if spec is None else reader.form(spec, forms.VirtualServiceForm)
    if spec is None:
        reader.fail(document.root, "the document has no spec", "add spec:")
    if form is None or not isinstance(spec, MappingNode):
        return reader.result(tuple)
    hosts = [reader_host(reader, place, name) for place, name in texts(spec.get("hosts"))]
    http = [_http_route(reader, *one) for one in reader.forms(form.http, forms.RouteForm)]
    tls = [_connections(reader, *one, True) for one in reader.forms(form.tls, forms.ConnectionForm)]
    tcp = [
        _connections(reader, *one, False) for one in reader.forms(form.tcp, forms.ConnectionForm)
    ]
    gateways = tuple(gateway_name(name, document.key.namespace) for name in form.gateways)
    if not form.hosts and (form.gateways or form.tls or form.tcp):
        reader.fail(spec, "a document without hosts only has http routes for others", "add hosts:")
    if not (form.http or form.tls or form.tcp):
        reader.fail(spec, "there is no route", "add http:, tls: or tcp:")
    key = document.key
    return reader.result(
        lambda: (
            RouteRule(
                namespace=key.namespace,
                name=key.name,
                hosts=tuple(dict.fromkeys(host for host in hosts if host)),
                gateways=gateways or (MESH,),
                http=tuple(route for route in http if route is not None),
                tls=tuple(route for route in tls if route is not None),
                tcp=tuple(route for route in tcp if route is not None),
                export_to=form.export_to or ("*",),
                created=document.created,
                origin=reader.origin(document.root),
            ),
        )
    )


def reader_host(reader: Reader, place: AnyNode, name: str) -> str | None:
    """A host that a rule is for: whole, ``*.suffix`` or ``*``."""
    return "*" if name == "*" else reader.host(place, name)


def gateway_name(name: str, namespace: str) -> str:
    """``namespace/name`` of a gateway; the bare name is one of the document's namespace."""
    if name == MESH or "/" in name:
        return name if not name.startswith("./") else f"{namespace}/{name[2:]}"
    return f"{namespace}/{name}"


def _http_route(reader: Reader, node: AnyNode, form: forms.RouteForm) -> HttpRoute | None:
    before = len(reader.errors)
    matches = [_match(reader, *one) for one in reader.forms(form.match, forms.MatchForm)]
    shares = _shares(reader, node, reader.forms(form.route, forms.ShareForm))
    given = [word for word, one in _ways(form) if one]
    if len(given) != 1:
        says = " and ".join(given) if given else "nothing"
        reader.fail(
            node,
            f"a route has exactly one way to go, and this one has {says}",
            "write one of route, redirect, directResponse and delegate",
        )
    values = actions(reader, node, form)
    if len(reader.errors) > before:
        return None
    return HttpRoute(
        name=form.name,
        matches=tuple(matches),
        destinations=tuple(shares),
        delegate=_delegate(reader, form),
        timeout=form.timeout or None,
        origin=reader.origin(node),
        **values,
    )


def _delegate(reader: Reader, form: forms.RouteForm) -> str:
    """``namespace/name`` of the document that takes over; empty: none."""
    if form.delegate is None:
        return ""
    home = form.delegate.namespace or reader.document.key.namespace
    return f"{home}/{form.delegate.name}"


def _ways(form: forms.RouteForm) -> Iterator[tuple[str, Any]]:
    yield "route", form.route
    yield "redirect", form.redirect
    yield "directResponse", form.response
    yield "delegate", form.delegate


def _shares(
    reader: Reader,
    node: AnyNode,
    found: list[tuple[AnyNode, forms.ShareForm]] | list[tuple[AnyNode, forms.ConnectionShareForm]],
) -> list[WeightedDestination]:
    weights = [share.weight for _, share in found]
    if len(found) > 1 and sum(weight or 0 for weight in weights) != _WHOLE:
        reader.fail(
            node,
            f"the weights add up to {sum(weight or 0 for weight in weights)}",
            "make them add up to 100",
        )
    shares = (share_of(reader, place, share, is_alone=len(found) == 1) for place, share in found)
    return [share for share in shares if share is not None]


def _match(reader: Reader, node: AnyNode, form: forms.MatchForm) -> HttpMatch:
    def text(one: AnyNode | None, *, is_path: bool = False) -> TextMatch | None:
        return None if one is None else text_match(reader, one, is_path=is_path)

    if (
        form.ignore_uri_case
        and form.uri is not None
        and isinstance(form.uri, MappingNode)
        and form.uri.get("regex") is not None
    ):
        reader.warn(node, "ignoreUriCase has no effect on a regex", "write (?i) in the expression")
    return HttpMatch(
        name=form.name,
        path=text(form.uri, is_path=True),
        is_case_ignored=form.ignore_uri_case,
        scheme=text(form.scheme),
        method=text(form.method),
        authority=text(form.authority),
        headers=(
            *named_matches(reader, form.headers, is_header=True),
            *named_matches(reader, form.without_headers, is_header=True, is_inverted=True),
        ),
        query=tuple(named_matches(reader, form.query_params)),
        caller=_caller(reader, form),
        stat_prefix=form.stat_prefix,
    )


def _caller(reader: Reader, form: forms.MatchForm | forms.ConnectionMatchForm) -> CallerMatch:
    namespace = reader.document.key.namespace
    return CallerMatch(
        port=form.port,
        source_labels=Labels(form.source_labels or {}),
        source_namespace=form.source_namespace,
        gateways=tuple(gateway_name(name, namespace) for name in form.gateways),
    )


def named_matches(
    reader: Reader, node: Any, *, is_header: bool = False, is_inverted: bool = False
) -> Iterator[NamedMatch]:
    """Conditions on headers or query parameters by name; what is wrong is noted."""
    if node is None:
        return
    if not isinstance(node, MappingNode):
        reader.fail(node, f"must be a mapping, not {node.kind}", "write name: {exact: value}")
        return
    for key, below in node.entries:
        if is_header:
            refused(reader, key, header_name_fault(key.text, is_pseudo_allowed=True))
        if is_header and key.text != key.text.lower():
            reader.fail(key, f"the header {key.text!r} is not in lower case", "write it so")
        is_empty = (isinstance(below, MappingNode) and not len(below)) or (
            isinstance(below, ScalarNode) and below.is_null
        )
        match = TextMatch(TextMatchKind.PRESENT) if is_empty else text_match(reader, below)
        if match is not None:
            yield NamedMatch(key.text, match, is_inverted)


def _connections(
    reader: Reader, node: AnyNode, form: forms.ConnectionForm, is_tls: bool
) -> ConnectionRoute | None:
    before = len(reader.errors)
    matches = []
    for place, one in reader.forms(form.match, forms.ConnectionMatchForm):
        if is_tls and not one.server_names:
            reader.fail(place, "sniHosts is missing", "name the servers, such as '*.example.com'")
        if not is_tls and one.server_names:
            reader.fail(place, "sniHosts is for tls routes", "move the route to tls:")
        matches.append(ConnectionMatch(server_names=one.server_names, caller=_caller(reader, one)))
    shares = _shares(reader, node, reader.forms(form.route, forms.ConnectionShareForm))
    if not form.route:
        reader.fail(node, "the route leads nowhere", "add route: with a destination")
    if len(reader.errors) > before:
        return None
    return ConnectionRoute(
        matches=tuple(matches), destinations=tuple(shares), origin=reader.origin(node)
    )
