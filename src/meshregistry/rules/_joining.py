"""How documents that speak of one host become one rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from meshregistry.rules._delegation import delegated
from meshregistry.rules._destinations import DestinationPolicy, PortPolicies

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from meshregistry.rules._destinations import Subset
    from meshregistry.rules._routes import RouteRule


def joined_policies(policies: Iterable[DestinationPolicy]) -> Iterable[DestinationPolicy]:
    """Join the policies of one host and one audience, given in order of precedence.

    As in Istio: the settings of the first that has some count, and the subsets of all; of
    two subsets of one name the first, with the other's settings if it has none of its own.
    """
    found: dict[tuple[object, ...], DestinationPolicy] = {}
    for policy in policies:
        audience = (policy.namespace, policy.host, policy.selector, policy.export_to)
        first = found.get(audience)
        if first is None:
            found[audience] = policy
            continue
        found[audience] = evolve(
            first,
            policies=policy.policies if first.policies == PortPolicies() else first.policies,
            subsets=tuple(_joined_subsets((*first.subsets, *policy.subsets))),
        )
    return found.values()


def _joined_subsets(subsets: Iterable[Subset]) -> Iterable[Subset]:
    found: dict[str, Subset] = {}
    for subset in subsets:
        first = found.setdefault(subset.name, subset)
        if first.policies == PortPolicies() and first.labels == subset.labels:
            found[subset.name] = evolve(first, policies=subset.policies)
    return found.values()


def joined_routes(rules: Sequence[RouteRule]) -> Iterable[RouteRule]:
    """Rules for hosts, given in order of precedence.

    Rules without hosts end: others have handed over to them. Those of 2017 for the same
    hosts (they have a precedence) become one, whose routes are tried by precedence, the
    highest first, then by name.
    """
    targets = {f"{rule.namespace}/{rule.name}": rule for rule in rules if not rule.hosts}
    grouped: dict[tuple[object, ...], list[RouteRule]] = {}
    for index, rule in enumerate(rules):
        if rule.hosts:
            key = (
                (index,) if rule.precedence is None else (rule.hosts, rule.gateways, rule.export_to)
            )
            grouped.setdefault(key, []).append(delegated(rule, targets))
    for group in grouped.values():
        group.sort(key=lambda rule: (-(rule.precedence or 0), rule.namespace, rule.name))
        first = group[0]
        routes = tuple(route for rule in group for route in rule.http)
        yield first if len(group) == 1 else evolve(first, http=routes)
