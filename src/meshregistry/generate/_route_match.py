"""RouteMatch: when a route takes a request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attrs import evolve, field, frozen
from envoy.config.route.v3 import route_components_pb2

from meshregistry.model import Labels, Selector
from meshregistry.rules import MESH, HttpMatch, HttpRoute, TextMatchKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from meshregistry.rules import CallerMatch, NamedMatch, RouteRule, TextMatch


@frozen(kw_only=True)
class CalledAt:
    """From where a service is called, or at which server of a gateway.

    Attributes:
        port: that is called; None: any.
        namespace: of the calling workload.
        labels: of the calling workload.
        gateway: ``namespace/name``, or the word for sidecars.
        section: of the gateway: the name of a server, which rules may name alone.
    """

    port: int | None = None
    namespace: str = ""
    labels: Labels = field(factory=Labels)
    gateway: str = MESH
    section: str = ""

    def is_at(self, gateways: Iterable[str]) -> bool:
        """Whether one of these gateways, or of their sections, is here."""
        return any(one in {self.gateway, f"{self.gateway}/{self.section}"} for one in gateways)

    def is_meant(self, caller: CallerMatch, rule: RouteRule) -> bool:
        """Whether a condition of a rule on its callers holds here."""
        return (
            self.is_at(caller.gateways or rule.gateways)
            and (caller.port is None or self.port is None or caller.port == self.port)
            and caller.source_namespace in {"", self.namespace}
            and Selector(caller.source_labels).is_match(self.labels)
        )


def caller_routes(rule: RouteRule, place: CalledAt) -> list[HttpRoute]:
    """The routes of a rule that are for a place, with those of their matches that are.

    Who calls is known while generating, so that no proxy is sent what is not for it. After
    a route that takes everything, none is ever reached.
    """
    found = []
    for route in rule.http:
        every = route.matches or (HttpMatch(),)
        matches = [match for match in every if place.is_meant(match.caller, rule)]
        if not matches:
            continue
        is_whole = len(matches) == len(every)
        found.append(route if is_whole else evolve(route, matches=tuple(matches)))
        if any(match.is_catch_all for match in matches):
            break
    return found


def route_match(match: HttpMatch) -> route_components_pb2.RouteMatch:
    """The message for a condition on a request."""
    message = route_components_pb2.RouteMatch()
    _path(message, match)
    for name, text in ((":method", match.method), (":authority", match.authority)):
        if text is not None:
            _header(message, name, text)
    if match.scheme is not None:
        _header(message, ":scheme", match.scheme)
    for header in match.headers:
        _header(message, header.name, header.match, is_inverted=header.is_inverted)
    for parameter in match.query:
        _query(message, parameter)
    return message


def _path(message: route_components_pb2.RouteMatch, match: HttpMatch) -> None:
    path = match.path
    if path is None:
        message.prefix = "/"
        return
    if path.kind is TextMatchKind.EXACT:
        message.path = path.value
    elif path.kind is TextMatchKind.SEGMENTS:
        # Envoy refuses one that ends in a slash; the root is a prefix of everything.
        bare = path.value.rstrip("/")
        if bare:
            message.path_separated_prefix = bare
        else:
            message.prefix = "/"
    elif path.kind is TextMatchKind.PREFIX:
        message.prefix = path.value
    elif path.kind is TextMatchKind.PRESENT:
        message.prefix = "/"
    else:
        message.safe_regex.regex = regex(path)
    if match.is_case_ignored and path.kind is not TextMatchKind.REGEX:
        message.case_sensitive.value = False


def regex(text: TextMatch) -> str:
    """The text as an expression that must match as a whole."""
    return f".*{re.escape(text.value)}" if text.kind is TextMatchKind.SUFFIX else text.value


def _header(
    message: route_components_pb2.RouteMatch,
    name: str,
    text: TextMatch,
    *,
    is_inverted: bool = False,
) -> None:
    header = message.headers.add(name=name, invert_match=is_inverted)
    if text.kind is TextMatchKind.PRESENT:
        header.present_match = True
        return
    string_match(header.string_match, text)
    # Without it Envoy takes a request that lacks the header for one that differs.
    header.treat_missing_header_as_empty = is_inverted


def string_match(message: object, text: TextMatch) -> None:
    """Fill a StringMatcher."""
    kind = text.kind
    if kind is TextMatchKind.EXACT:
        message.exact = text.value  # type: ignore[attr-defined]  # built at run time
    elif kind in {TextMatchKind.PREFIX, TextMatchKind.SEGMENTS}:
        message.prefix = text.value  # type: ignore[attr-defined]  # built at run time
    elif kind is TextMatchKind.SUFFIX:
        message.suffix = text.value  # type: ignore[attr-defined]  # built at run time
    else:
        message.safe_regex.regex = text.value  # type: ignore[attr-defined]  # built at run time


def _query(message: route_components_pb2.RouteMatch, parameter: NamedMatch) -> None:
    matcher = message.query_parameters.add(name=parameter.name)
    if parameter.match.kind is TextMatchKind.PRESENT:
        matcher.present_match = True
    else:
        string_match(matcher.string_match, parameter.match)


def matches_of(route: HttpRoute) -> Iterator[HttpMatch]:
    """The conditions of a route, of which one suffices."""
    yield from route.matches or (HttpMatch(),)
