"""Conditions within conditions: what a route is for once another one has handed over to it.

One rule may hand requests to a rule without hosts (Istio's delegate). A route of the latter
takes what the former's condition and its own take together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from meshregistry.model import Labels
from meshregistry.rules._matches import CallerMatch, HttpMatch, TextMatch, TextMatchKind
from meshregistry.rules._routes import DirectResponse, HttpRoute

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from meshregistry.rules._matches import NamedMatch
    from meshregistry.rules._routes import RouteRule

_UNAVAILABLE = 503


def narrowed(outer: HttpMatch, inner: HttpMatch) -> HttpMatch | None:
    """A condition within another one; None if it is not within (Istio calls it a conflict).

    What only one of them says holds. The path may be said by both if the outer one is a
    prefix of the inner one; scheme, method, authority and any header or parameter may not.
    """
    caller = _narrowed_caller(outer.caller, inner.caller)
    path = _narrowed_path(outer, inner)
    pairs = (
        (outer.scheme, inner.scheme),
        (outer.method, inner.method),
        (outer.authority, inner.authority),
    )
    is_clash = (
        any(one is not None and other is not None for one, other in pairs)
        or _names(outer.headers) & _names(inner.headers)
        or _names(outer.query) & _names(inner.query)
    )
    if is_clash or caller is None or (path is None and inner.path is not None):
        return None
    return HttpMatch(
        name="-".join(name for name in (outer.name, inner.name) if name),
        path=path,
        is_case_ignored=(outer if inner.path is None else inner).is_case_ignored,
        scheme=outer.scheme or inner.scheme,
        method=outer.method or inner.method,
        authority=outer.authority or inner.authority,
        headers=(*outer.headers, *inner.headers),
        query=(*outer.query, *inner.query),
        caller=caller,
        stat_prefix=inner.stat_prefix or outer.stat_prefix,
    )


def _names(matches: tuple[NamedMatch, ...]) -> set[str]:
    return {match.name for match in matches}


def _narrowed_path(outer: HttpMatch, inner: HttpMatch) -> TextMatch | None:
    """The inner path, if it is within the outer one; the outer one if there is no other."""
    if inner.path is None or outer.path is None:
        return inner.path or outer.path
    plain = {TextMatchKind.EXACT, TextMatchKind.PREFIX, TextMatchKind.SEGMENTS}
    if outer.path.kind not in plain - {TextMatchKind.EXACT} or inner.path.kind not in plain:
        return None
    above, below = outer.path.value, inner.path.value
    if outer.is_case_ignored:
        above, below = above.lower(), below.lower()
    elif inner.is_case_ignored:
        return None
    is_within = below.startswith(above) and (
        outer.path.kind is TextMatchKind.PREFIX
        or (below == above and inner.path.kind is not TextMatchKind.PREFIX)
        or below.startswith(above.rstrip("/") + "/")
    )
    return inner.path if is_within else None


def _narrowed_caller(outer: CallerMatch, inner: CallerMatch) -> CallerMatch | None:
    """Callers that are meant by both; None if there are none."""
    is_clash = (
        (None not in {outer.port, inner.port} and outer.port != inner.port)
        or any(
            inner.source_labels.get(key, value) != value
            for key, value in outer.source_labels.items()
        )
        or (
            "" not in {outer.source_namespace, inner.source_namespace}
            and outer.source_namespace != inner.source_namespace
        )
        or (outer.gateways and not set(inner.gateways) <= set(outer.gateways))
    )
    if is_clash:
        return None
    return CallerMatch(
        port=inner.port if outer.port is None else outer.port,
        source_labels=Labels({**outer.source_labels, **inner.source_labels}),
        source_namespace=outer.source_namespace or inner.source_namespace,
        gateways=inner.gateways or outer.gateways,
    )


def narrowed_route(outer: tuple[HttpMatch, ...], route: HttpRoute) -> HttpRoute | None:
    """A route for what one of the outer conditions takes, too; None if it is for nothing."""
    pairs = (
        narrowed(above, below)
        for above in outer or (HttpMatch(),)
        for below in route.matches or (HttpMatch(),)
    )
    matches = tuple(match for match in pairs if match is not None)
    return evolve(route, matches=matches) if matches else None


def delegated(rule: RouteRule, targets: Mapping[str, RouteRule]) -> RouteRule:
    """The rule with the routes of those rules that it hands over to.

    As in Istio, over one level only, and what the handing route says of rewriting, time,
    retries, faults, mirrors and headers holds where the other says nothing. What is handed
    to nobody is answered with 503, so that no later route takes it by mistake.
    """
    if not any(route.delegate for route in rule.http):
        return rule
    return evolve(rule, http=tuple(one for route in rule.http for one in _handed(route, targets)))


def _handed(route: HttpRoute, targets: Mapping[str, RouteRule]) -> Iterator[HttpRoute]:
    if not route.delegate:
        yield route
        return
    target = targets.get(route.delegate)
    if target is None:
        yield evolve(route, delegate="", response=DirectResponse(status=_UNAVAILABLE))
        return
    for one in target.http:
        found = None if one.delegate else narrowed_route(route.matches, one)
        if found is not None:
            yield evolve(
                found,
                name="-".join(name for name in (route.name, one.name) if name),
                rewrite=one.rewrite or route.rewrite,
                timeout=route.timeout if one.timeout is None else one.timeout,
                retry=one.retry or route.retry,
                fault=one.fault or route.fault,
                mirrors=one.mirrors or route.mirrors,
                cors=one.cors or route.cors,
                request=one.request or route.request,
                response_headers=one.response_headers or route.response_headers,
            )
