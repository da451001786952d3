"""Test environments in the rules of a world: whose requests go to whose endpoints.

The endpoints of an environment are in no cluster but its own subset's. Its requests go by
the same routes as all others, with those destinations exchanged that it has a version of.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from meshregistry.model import Hostname, Selector
from meshregistry.rules import (
    Destination,
    DestinationPolicy,
    Environment,
    HttpRoute,
    RouteRule,
    Subset,
    WeightedDestination,
    narrowed,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from meshregistry.model import CatalogEntry


@frozen(kw_only=True, cache_hash=True)
class Isolation:
    """The environments of a world, and the hosts that each has endpoints of.

    Attributes:
        environments: in order of precedence.
        present: pairs of a host and the name of an environment's subset.
    """

    environments: tuple[Environment, ...] = ()
    present: frozenset[tuple[str, str]] = frozenset()

    @cached_property
    def _by_name(self) -> Mapping[str, Environment]:
        found: dict[str, Environment] = {}
        for environment in self.environments:
            found.setdefault(environment.name, environment)
        return found

    @cached_property
    def _hosts(self) -> frozenset[str]:
        return frozenset(host for host, _ in self.present)

    def at(self, environment: Environment, host: str) -> str:
        """The subset of a host that takes an environment's requests; empty: the common one."""
        seen: set[str] = set()
        one: Environment | None = environment
        while one is not None and one.name not in seen:
            if (host, one.subset) in self.present:
                return one.subset
            seen.add(one.name)
            one = self._by_name.get(one.fallback)
        return ""

    def policy(self, host: str, policy: DestinationPolicy | None) -> DestinationPolicy | None:
        """A host's policy, with its endpoints of environments set apart."""
        if host not in self._hosts:
            return policy
        mine = {
            one.subset: one.labels
            for one in self.environments
            if (host, one.subset) in self.present
        }
        subsets = tuple(Subset(name=name, labels=labels) for name, labels in mine.items())
        policy = policy or DestinationPolicy(host=host)
        return evolve(policy, subsets=(*policy.subsets, *subsets), set_apart=tuple(mine.values()))

    def rule(self, rule: RouteRule) -> RouteRule:
        """A rule, with routes for the requests of environments before its own."""
        own = tuple(route for one in self.environments for route in self._routes(one, rule.http))
        return evolve(rule, http=(*own, *rule.http)) if own else rule

    def _routes(
        self, environment: Environment, routes: Iterable[HttpRoute]
    ) -> tuple[HttpRoute, ...]:
        """All routes again for an environment, if it has a version of any destination."""
        exchanged = [(route, self._exchanged(environment, route)) for route in routes]
        if all(route is other for route, other in exchanged):
            return ()
        return tuple(_within(environment, (other for _, other in exchanged)))

    def _exchanged(self, environment: Environment, route: HttpRoute) -> HttpRoute:
        subsets = {one.destination.host: "" for one in route.destinations}
        subsets = {host: self.at(environment, host) for host in subsets}
        if not any(subsets.values()):
            return route
        found: dict[object, WeightedDestination] = {}
        for one in route.destinations:
            target = one.destination
            if subsets[target.host]:
                target = Destination(target.host, subsets[target.host], target.port)
            key = (target, one.request, one.response)
            weight = one.weight + (found[key].weight if key in found else 0)
            found[key] = evolve(one, destination=target, weight=weight)
        return evolve(route, destinations=tuple(found.values()))

    def rule_of(self, host: str) -> RouteRule | None:
        """The rule of a host that has none otherwise; other requests go to the service."""
        if host not in self._hosts:
            return None
        route = HttpRoute(
            destinations=(WeightedDestination(destination=Destination(Hostname(host))),)
        )
        made = self.rule(RouteRule(hosts=(host,), http=(route,), precedence=0))
        return evolve(made, http=made.http[:-1])


NOTHING_APART = Isolation()
"""A world without test environments."""


def _within(environment: Environment, routes: Iterable[HttpRoute]) -> Iterator[HttpRoute]:
    for route in routes:
        pairs = [narrowed(environment.match, match) for match in route.matches]
        matches = tuple(match for match in pairs if match is not None)
        if matches or not route.matches:
            origin = environment.origin if not route.origin.file else route.origin
            yield evolve(route, matches=matches or (environment.match,), origin=origin)


def present(
    environments: tuple[Environment, ...], entries: Iterable[CatalogEntry]
) -> Iterator[tuple[str, str]]:
    """The pairs of a host and a subset of it that has endpoints."""
    wanted = [(one.subset, Selector(one.labels)) for one in environments]
    for entry in entries:
        for name, selector in wanted:
            if any(selector.is_match(endpoint.labels) for endpoint in entry.endpoints):
                yield entry.service.host, name
