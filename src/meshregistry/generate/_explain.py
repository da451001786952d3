"""What becomes of a request at a proxy, and why: the routing decision, walked step by step.

It reads the same words that the messages for Envoy are made of, and decides as Envoy does
(its documentation of route matching); expressions are Python's, which agree with RE2 on what
`rules` lets through.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from attrs import field, frozen

from meshregistry.generate import _naming
from meshregistry.generate._gateway_routes import gateway_hosts
from meshregistry.generate._routes import outbound_hosts, router_hosts
from meshregistry.model import ProxyRole, Selector
from meshregistry.rules import HttpMatch, TextMatchKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshregistry.generate._routes import HostRoute, HostRoutes
    from meshregistry.generate._world import View
    from meshregistry.model import Catalog
    from meshregistry.rules import HttpRoute, NamedMatch, Redirect, TextMatch


@frozen(kw_only=True)
class HttpRequest:
    """A request as a proxy gets it.

    Attributes:
        method: such as ``GET``.
        target: path and query.
        host: the ``Host`` header, without a port.
        port: at which the proxy is called; None: the host's only one, or the first.
        headers: by lower-case name; several values are joined by commas.
        scheme: ``http`` or ``https``.
    """

    method: str = "GET"
    target: str = "/"
    host: str
    port: int | None = None
    headers: Mapping[str, str] = field(factory=dict)
    scheme: str = "http"

    @property
    def path(self) -> str:
        """Without the query."""
        return urlsplit(f"//h{self.target}").path

    @property
    def query(self) -> Mapping[str, str]:
        """The first value of each parameter, as it stands there."""
        found: dict[str, str] = {}
        for pair in urlsplit(f"//h{self.target}").query.split("&"):
            name, _, value = pair.partition("=")
            if name:
                found.setdefault(name, value)
        return found


@frozen(kw_only=True)
class Step:
    """One route that was tried.

    Attributes:
        route: its name, or that of its place.
        origin: the document and line that say it; empty for what no document says.
        reason: why it does not take the request; empty: it does.
    """

    route: str
    origin: str
    reason: str = ""


@frozen(kw_only=True)
class Decision:
    """What becomes of a request.

    Attributes:
        virtual_host: that the Host header chose; empty if none did.
        steps: the routes that were tried, in order; the last may take it.
        status: of an answer that the proxy gives itself; 0: it forwards, or redirects.
        redirect: where it sends the caller; empty: nowhere.
        shares: cluster and percentage of the requests that take this route.
        details: what else happens on the way, in words.
    """

    virtual_host: str = ""
    steps: tuple[Step, ...] = ()
    status: int = 0
    redirect: str = ""
    shares: tuple[tuple[str, float], ...] = ()
    details: tuple[str, ...] = ()


_NOT_FOUND = 404
_UNAVAILABLE = 503


def decide(view: View, role: ProxyRole, request: HttpRequest) -> Decision:
    """What a proxy with this view does with a request.

    Raises:
        LookupError: if the proxy has no HTTP listener at that port.
    """
    words = _words(view, role, request.port)
    host = _virtual_host(words.hosts, request.host.lower())
    if host is None:
        return Decision(status=_NOT_FOUND)
    if host.is_tls_required and request.scheme == "http":
        return Decision(
            virtual_host=host.name, status=301, redirect=f"https://{request.host}{request.target}"
        )
    steps: list[Step] = []
    for route in host.ruled.routes if host.ruled else ():
        reason = _reason(route, request)
        name = route.name or route.origin.path or "a route"
        steps.append(Step(route=name, origin=str(route.origin), reason=reason))
        if not reason:
            return _taken(host, route, tuple(steps), request)
    if host.cluster is None:
        status = host.status or _NOT_FOUND
        return Decision(virtual_host=host.name, steps=tuple(steps), status=status)
    steps.append(Step(route="the service itself", origin=""))
    return Decision(virtual_host=host.name, steps=tuple(steps), shares=((host.cluster, 100.0),))


def _words(view: View, role: ProxyRole, port: int | None) -> HostRoutes:
    """The route configuration that a call to a port meets."""
    if role is not ProxyRole.SIDECAR:
        if not view.gateways:
            return router_hosts(view)
        found = [words for number, words in gateway_hosts(view) if port in {None, number}]
    else:
        name = None if port is None else _naming.outbound_routes(port)
        found = [words for words in outbound_hosts(view) if name in {None, words.name}]
    if not found:
        where = "" if port is None else f" at port {port}"
        raise LookupError(f"the proxy routes no HTTP{where}; name the port of a service")
    return found[0]


def _virtual_host(hosts: tuple[HostRoute, ...], name: str) -> HostRoute | None:
    """Exact domains before wildcards, longer ones before shorter, ``*`` last."""
    best: tuple[int, HostRoute] | None = None
    for host in hosts:
        for domain in host.domains:
            rank = _rank(domain.lower(), name)
            if rank and (best is None or rank > best[0]):
                best = (rank, host)
    return best[1] if best else None


def _rank(domain: str, name: str) -> int:
    if domain == name:
        return 1_000_000
    if domain == "*":
        return 1
    if domain.startswith("*"):
        return 1 + len(domain) if name.endswith(domain[1:]) and name != domain[1:] else 0
    return 0


def _reason(route: HttpRoute, request: HttpRequest) -> str:
    """Why no condition of a route takes a request; empty: one does."""
    reasons = [_mismatch(match, request) for match in route.matches or (HttpMatch(),)]
    return "" if "" in reasons else "; ".join(dict.fromkeys(reasons))


def _mismatch(match: HttpMatch, request: HttpRequest) -> str:
    path, wanted = request.path, match.path
    if wanted is not None and not _is_path(wanted, path, is_case_ignored=match.is_case_ignored):
        return f"the path {path} is not: {wanted}"
    for name, text, value in (
        ("scheme", match.scheme, request.scheme),
        ("method", match.method, request.method),
        ("authority", match.authority, request.host),
    ):
        if text is not None and not is_text(text, value):
            return f"the {name} {value} is not: {text}"
    for header in match.headers:
        if not _is_header(header, _header(request, header.name)):
            no = "is" if header.is_inverted else "is not"
            return f"the header {header.name} {no}: {header.match}"
    for parameter in match.query:
        given = request.query.get(parameter.name)
        if given is None or not is_text(parameter.match, given):
            return f"the query parameter {parameter.name} is not: {parameter.match}"
    return ""


def _header(request: HttpRequest, name: str) -> str | None:
    known = {
        ":method": request.method,
        ":path": request.target,
        ":authority": request.host,
        ":scheme": request.scheme,
        "host": request.host,
    }
    return known.get(name, request.headers.get(name.lower()))


def _is_header(wanted: NamedMatch, value: str | None) -> bool:
    if wanted.match.kind is TextMatchKind.PRESENT:
        return (value is not None) is not wanted.is_inverted
    if wanted.is_inverted:
        # A header that is missing counts as an empty one.
        return not is_text(wanted.match, value or "")
    return value is not None and is_text(wanted.match, value)


def is_text(wanted: TextMatch, value: str) -> bool:
    """Whether a text is as wanted; expressions match it as a whole."""
    kind, text = wanted.kind, wanted.value
    if kind is TextMatchKind.EXACT:
        return value == text
    if kind in {TextMatchKind.PREFIX, TextMatchKind.SEGMENTS}:
        return value.startswith(text)
    if kind is TextMatchKind.SUFFIX:
        return value.endswith(text)
    return kind is TextMatchKind.PRESENT or re.fullmatch(text, value) is not None


def _is_path(wanted: TextMatch, path: str, *, is_case_ignored: bool) -> bool:
    text = wanted.value
    if is_case_ignored and wanted.kind is not TextMatchKind.REGEX:
        text, path = text.lower(), path.lower()
    if wanted.kind is TextMatchKind.EXACT:
        return path == text
    if wanted.kind is TextMatchKind.SEGMENTS:
        bare = text.rstrip("/")
        return not bare or path == bare or path.startswith(f"{bare}/")
    return is_text(type(wanted)(wanted.kind, text), path)


def _taken(
    host: HostRoute, route: HttpRoute, steps: tuple[Step, ...], request: HttpRequest
) -> Decision:
    details = tuple(_details(route))
    if route.response is not None:
        status = route.response.status
        return Decision(virtual_host=host.name, steps=steps, status=status, details=details)
    if route.redirect is not None:
        return Decision(
            virtual_host=host.name,
            steps=steps,
            status=route.redirect.status,
            redirect=_location(route, route.redirect, request),
            details=details,
        )
    clusters = dict(host.ruled.clusters) if host.ruled else {}
    total = sum(one.weight for one in route.destinations)
    if not total:
        return Decision(virtual_host=host.name, steps=steps, status=_UNAVAILABLE, details=details)
    shares = tuple(
        (clusters.get(one.destination) or _naming.BLACK_HOLE_CLUSTER, 100 * one.weight / total)
        for one in route.destinations
        if one.weight
    )
    if {name for name, _ in shares} == {_naming.BLACK_HOLE_CLUSTER}:
        return Decision(virtual_host=host.name, steps=steps, status=_UNAVAILABLE, details=details)
    return Decision(virtual_host=host.name, steps=steps, shares=shares, details=details)


def _location(route: HttpRoute, to: Redirect, request: HttpRequest) -> str:
    """Where a redirect leads; the query stays, unless the new path has one."""
    path, query = request.path, urlsplit(f"//h{request.target}").query
    if to.path is not None:
        path = to.path
    elif to.prefix is not None:
        taken = next(one for one in route.matches if not _mismatch(one, request))
        path = to.prefix + path[len(taken.path.value) :] if taken.path else to.prefix
    port = f":{to.port}" if isinstance(to.port, int) else ""
    where = f"{to.scheme or request.scheme}://{to.authority or request.host}{port}{path}"
    return f"{where}?{query}" if query and "?" not in path else where


def _details(route: HttpRoute) -> Iterator[str]:
    if route.timeout is not None:
        yield f"time-out {route.timeout:g} s"
    if route.retry is not None:
        yield f"up to {route.retry.attempts} more tries"
    fault = route.fault
    if fault is not None and fault.delay is not None:
        yield f"{fault.delay.percent:g} % are delayed by {fault.delay.seconds:g} s"
    if fault is not None and fault.abort is not None:
        status = fault.abort.http_status or f"gRPC status {fault.abort.grpc_status}"
        yield f"{fault.abort.percent:g} % are answered with {status} instead"
    for mirror in route.mirrors:
        yield f"{mirror.percent:g} % are copied to {mirror.destination}"
    if route.rewrite is not None:
        yield "path or authority are rewritten"
    if route.request or route.response_headers:
        yield "headers are changed"


def decision_document(
    view: View, catalog: Catalog, request: HttpRequest, decision: Decision
) -> dict[str, Any]:
    """A decision as JSON, with the policy and the endpoints of each cluster."""
    return {
        "request": {
            "method": request.method,
            "target": request.target,
            "host": request.host,
            "headers": dict(request.headers),
        },
        "virtual_host": decision.virtual_host,
        "steps": [
            {"route": step.route, "origin": step.origin, "reason": step.reason}
            for step in decision.steps
        ],
        "status": decision.status,
        "redirect": decision.redirect,
        "details": list(decision.details),
        "clusters": [
            {
                "cluster": name,
                "percent": share,
                **_reached(view, catalog, name),
            }
            for name, share in decision.shares
        ],
    }


def _reached(view: View, catalog: Catalog, cluster: str) -> dict[str, Any]:
    """The policy of a cluster, and its endpoints with their sources."""
    _, number, subset, host = (*cluster.split("|"), "", "", "")[:4]
    entry = next(iter(catalog.find(host)), None) if host else None
    if entry is None:
        return {"policy": "", "endpoints": []}
    policy = view.policies.of(entry.service)
    chosen = Selector()
    apart = [Selector(labels) for labels in policy.set_apart] if policy else []
    if policy is not None and subset:
        labels = next(one.labels for one in policy.subsets if one.name == subset)
        chosen = Selector(labels)
        apart = [one for one in apart if one != chosen]
    ports = {port.name for port in entry.service.ports if str(port.number) == number}
    known = entry.endpoint_sources or ((),) * len(entry.endpoints)
    return {
        "policy": str(policy.origin) if policy else "",
        "endpoints": [
            {
                "endpoint": str(endpoint),
                "health": endpoint.health.value,
                "sources": list(sources),
            }
            for endpoint, sources in zip(entry.endpoints, known, strict=True)
            if endpoint.service_port in ports
            and chosen.is_match(endpoint.labels)
            and not any(one.is_match(endpoint.labels) for one in apart)
        ],
    }
