"""What is wrong between documents that are each well formed: references, doubles, dead routes."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from attrs import define, field

from meshregistry.errors import ConfigError
from meshregistry.rules._destinations import DestinationPolicy
from meshregistry.rules._gateways import Gateway
from meshregistry.rules._hosts import is_host_match
from meshregistry.rules._matches import CallerMatch, HttpMatch, TextMatch, TextMatchKind
from meshregistry.rules._routes import MESH, RouteRule

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from meshregistry.rules._origin import Origin
    from meshregistry.rules._routes import Destination, HttpRoute
    from meshregistry.rules._ruleset import Rule


@define
class CrossFindings:
    """What was found.

    Attributes:
        errors: references to what is not there; what they lead to is answered with 503.
        warnings: what has no effect, or is likely a mistake.
    """

    errors: list[ConfigError] = field(factory=list)
    warnings: list[ConfigError] = field(factory=list)


def cross_findings(
    rules: Iterable[Rule], known_hosts: Collection[str] | None = None
) -> CrossFindings:
    """Look at all rules of a mesh together.

    Args:
        rules: as the documents say them, before they are joined.
        known_hosts: of all services; None: nobody knows them all.
    """
    every = list(rules)
    routes = [rule for rule in every if isinstance(rule, RouteRule)]
    policies = [rule for rule in every if isinstance(rule, DestinationPolicy)]
    gateways = {rule.key: rule for rule in every if isinstance(rule, Gateway)}
    found = CrossFindings()
    for rule in routes:
        found.errors += _subsets(rule, policies)
        found.errors += _gateways(rule, gateways)
        found.warnings += _unreachable(rule)
        if known_hosts is not None:
            found.warnings += _strangers(rule, known_hosts)
    found.errors += _delegates(routes)
    found.warnings += _idle(routes)
    found.warnings += _doubles(routes)
    return found


def _fault(origin: Origin, reason: str, remedy: str) -> ConfigError:
    return ConfigError(reason, file=origin.file, line=origin.line, field=origin.path, remedy=remedy)


def _destinations(rule: RouteRule) -> Iterator[tuple[Origin, Destination]]:
    for route in rule.http:
        yield from ((route.origin, one.destination) for one in route.destinations)
        yield from ((route.origin, mirror.destination) for mirror in route.mirrors)
    for connections in (*rule.tls, *rule.tcp):
        yield from ((connections.origin, one.destination) for one in connections.destinations)


def _subsets(rule: RouteRule, policies: Iterable[DestinationPolicy]) -> Iterator[ConfigError]:
    for origin, destination in dict.fromkeys(_destinations(rule)):
        if not destination.subset:
            continue
        named = {
            subset.name
            for policy in policies
            if is_host_match(policy.host, destination.host)
            for subset in policy.subsets
        }
        if destination.subset not in named:
            there = f"those of the host are {', '.join(sorted(named))}" if named else "it has none"
            yield _fault(
                origin,
                f"no DestinationRule defines the subset {destination.subset} of "
                f"{destination.host}; {there}",
                "define it, or correct the name",
            )


def _gateways(rule: RouteRule, gateways: dict[str, Gateway]) -> Iterator[ConfigError]:
    named = [*rule.gateways]
    for route in rule.http:
        named += (one for match in route.matches for one in match.caller.gateways)
    for name in dict.fromkeys(named):
        key = "/".join(name.split("/")[:2])
        if name == MESH:
            continue
        gateway = gateways.get(key)
        if gateway is None:
            yield _fault(
                rule.origin,
                f"there is no gateway {key}",
                "write its document, or correct namespace and name",
            )
        elif rule.hosts and not any(
            _is_shared(of_server, host, rule.namespace)
            for server in gateway.servers
            for of_server in server.hosts
            for host in rule.hosts
        ):
            yield _fault(
                rule.origin,
                f"no server of the gateway {key} has a host of the rule",
                "add the host to the gateway, or correct it",
            )


def _is_shared(of_server: str, host: str, namespace: str) -> bool:
    home, _, own = of_server.partition("/")
    return home in {"*", namespace} and (is_host_match(own, host) or is_host_match(host, own))


def _delegates(routes: Iterable[RouteRule]) -> Iterator[ConfigError]:
    by_name = {f"{rule.namespace}/{rule.name}": rule for rule in routes}
    for rule in routes:
        for route in rule.http:
            target = by_name.get(route.delegate)
            if not route.delegate:
                continue
            if target is None:
                reason = f"there is no document {route.delegate} to delegate to"
                yield _fault(route.origin, reason, "write it, or correct namespace and name")
            elif target.hosts:
                reason = f"{route.delegate} has hosts of its own"
                yield _fault(route.origin, reason, "take them out there, or route here")
            elif not rule.hosts:
                reason = "a document without hosts cannot delegate further"
                yield _fault(route.origin, reason, "write the routes here")


def _idle(routes: Iterable[RouteRule]) -> Iterator[ConfigError]:
    wanted = {route.delegate for rule in routes for route in rule.http}
    for rule in routes:
        if not rule.hosts and f"{rule.namespace}/{rule.name}" not in wanted:
            yield _fault(rule.origin, "has no hosts, and no document delegates to it", "add hosts:")


def _doubles(routes: Iterable[RouteRule]) -> Iterator[ConfigError]:
    first: dict[tuple[str, tuple[str, ...]], RouteRule] = {}
    for rule in sorted(routes, key=lambda rule: (rule.created, rule.namespace, rule.name)):
        if rule.precedence is not None or MESH not in rule.gateways:
            continue
        for host in rule.hosts:
            winner = first.setdefault((host, rule.export_to), rule)
            if winner is not rule:
                yield _fault(
                    rule.origin,
                    f"sidecars route {host} by {winner.origin} already, so this has no effect",
                    "write the routes into one document",
                )


def _strangers(rule: RouteRule, known: Collection[str]) -> Iterator[ConfigError]:
    told: set[str] = set()
    for origin, destination in _destinations(rule):
        if destination.host not in known and destination.host not in told:
            told.add(destination.host)
            yield _fault(
                origin,
                f"no source knows the host {destination.host}",
                "correct it, or add the service to a source",
            )


def _unreachable(rule: RouteRule) -> Iterator[ConfigError]:
    """Routes that no request can reach, because earlier ones take all that they would."""
    earlier: dict[CallerMatch, list[tuple[HttpMatch, HttpRoute]]] = defaultdict(list)
    for route in rule.http:
        matches = route.matches or (HttpMatch(),)
        takers = [
            next((one for match, one in earlier[mine.caller] if is_covered(mine, match)), None)
            for mine in matches
        ]
        if all(taker is not None for taker in takers):
            line = takers[0].origin.line if takers[0] else None
            yield _fault(
                route.origin,
                f"no request gets here: the route of line {line} takes them all",
                "move it before that one, or take it out",
            )
        for mine in matches:
            earlier[mine.caller].append((mine, route))


def is_covered(inner: HttpMatch, outer: HttpMatch) -> bool:
    """Whether each request that the inner condition takes is taken by the outer one, too.

    No for certain conditions only: where expressions play a part it says no.
    """
    pairs = (
        (inner.scheme, outer.scheme),
        (inner.method, outer.method),
        (inner.authority, outer.authority),
    )
    return (
        _is_path_covered(inner, outer)
        and all(wider is None or wider == narrower for narrower, wider in pairs)
        and set(outer.headers) <= set(inner.headers)
        and set(outer.query) <= set(inner.query)
    )


def _is_path_covered(inner: HttpMatch, outer: HttpMatch) -> bool:
    above, below = outer.path, inner.path
    if above is None or outer.is_catch_all:
        return True
    if below is None:
        return False
    if above == below and (outer.is_case_ignored or not inner.is_case_ignored):
        return True
    if outer.is_case_ignored or inner.is_case_ignored:
        return False
    return _is_prefix(above) and not _is_vague(below) and _begins(below, above)


def _is_prefix(text: TextMatch) -> bool:
    return text.kind in {TextMatchKind.PREFIX, TextMatchKind.SEGMENTS}


def _is_vague(text: TextMatch) -> bool:
    return text.kind in {TextMatchKind.REGEX, TextMatchKind.SUFFIX, TextMatchKind.PRESENT}


def _begins(path: TextMatch, prefix: TextMatch) -> bool:
    bare = prefix.value
    if prefix.kind is TextMatchKind.PREFIX:
        return path.value.startswith(bare)
    bare = bare.rstrip("/")
    # A plain prefix /a takes /ab, too, which the segment /a does not.
    is_same = path.value == bare and path.kind is not TextMatchKind.PREFIX
    return is_same or path.value.startswith(f"{bare}/")
