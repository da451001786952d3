"""Which rules hold for which proxies: where a rule's audience meets a caller.

Route rules and destination policies are looked up apart, so that a changed weight leaves
every cluster's policy the same object, and a changed policy every route.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from attrs import evolve, field, frozen

from meshregistry.generate._isolation import NOTHING_APART, Isolation
from meshregistry.generate._locality import read_labels, reads_locality
from meshregistry.generate._sight import Sight
from meshregistry.model import Labels, ServiceKey
from meshregistry.rules import (
    MESH,
    DestinationPolicy,
    PortPolicies,
    RouteRule,
    RuleSet,
    host_rank,
    is_exported,
    is_host_match,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from meshregistry.generate._route_match import CalledAt
    from meshregistry.model import Service
    from meshregistry.rules import CallerMatch


@frozen(kw_only=True, cache_hash=True)
class Caller:
    """What of a proxy decides which rules are for it; the rest is blank.

    Attributes:
        namespace: of its workload, if some rule tells namespaces apart.
        labels: of its workload, as far as some rule selects by them.
        sight: what narrows the hosts that it sees; None: nothing.
    """

    namespace: str = ""
    labels: Labels = field(factory=Labels)
    sight: Sight | None = None


@frozen(kw_only=True, eq=False)
class Audience:
    """What a rule set asks of proxies, to reduce them to callers.

    Attributes:
        namespaces: that some rule tells from others.
        label_keys: that some rule selects by.
        is_locality_read: whether the place of a caller plays a part.
    """

    namespaces: frozenset[str] = frozenset()
    label_keys: frozenset[str] = frozenset()
    is_locality_read: bool = False

    def caller(self, namespace: str, labels: Mapping[str, str]) -> Caller:
        """The caller that a proxy of this namespace with these labels is."""
        return Caller(
            namespace=namespace if namespace in self.namespaces else "",
            labels=self.reduced(labels),
        )

    def reduced(self, labels: Mapping[str, str]) -> Labels:
        """Only the labels that some rule selects by."""
        return Labels({key: value for key, value in labels.items() if key in self.label_keys})


def route_audience(rules: RuleSet) -> Audience:
    """What the route rules and the gateways ask of proxies."""
    namespaces: set[str] = set()
    keys: set[str] = set()
    for rule in rules.routes:
        namespaces.update(_named(rule.export_to, rule.namespace))
        for one in _caller_matches(rule):
            namespaces.update((one.source_namespace,))
            keys.update(one.source_labels)
    for gateway in rules.gateways:
        keys.update(gateway.selector.labels)
    return Audience(namespaces=frozenset(namespaces - {""}), label_keys=frozenset(keys))


def policy_audience(rules: RuleSet, root: str) -> Audience:
    """What the destination policies ask of proxies."""
    namespaces: set[str] = set()
    keys: set[str] = set()
    is_locality_read = False
    for policy in rules.policies:
        namespaces.update(_named(policy.export_to, policy.namespace))
        if policy.namespace != root:
            namespaces.add(policy.namespace)
        if policy.selector is not None:
            keys.update(policy.selector.labels)
        keys.update(read_labels(policy))
        is_locality_read = is_locality_read or reads_locality(policy)
    return Audience(
        namespaces=frozenset(namespaces - {""}),
        label_keys=frozenset(keys),
        is_locality_read=is_locality_read,
    )


def _named(export_to: tuple[str, ...], home: str) -> Iterator[str]:
    return (home if to == "." else to for to in export_to if to != "*")


def _caller_matches(rule: RouteRule) -> Iterator[CallerMatch]:
    for route in rule.http:
        yield from (match.caller for match in route.matches)
    for connections in (*rule.tls, *rule.tcp):
        yield from (match.caller for match in connections.matches)


@frozen(kw_only=True, eq=False)
class Routing:
    """The route rules that some callers are given.

    Attributes:
        caller: what the callers have in common.
        rules: in order of precedence, for sidecars and for gateways.
        isolation: the test environments, which the rules know already.
    """

    caller: Caller = field(factory=Caller)
    rules: tuple[RouteRule, ...] = ()
    isolation: Isolation = field(factory=Isolation)

    @cached_property
    def _exact(self) -> Mapping[str, RouteRule]:
        found: dict[str, RouteRule] = {}
        for rule in self.rules:
            for host in rule.hosts if _is_for_mesh(rule) else ():
                found.setdefault(host, rule)
        return found

    @property
    def losers(self) -> Iterator[tuple[str, RouteRule, RouteRule]]:
        """Every host that two rules for sidecars claim: the host, the loser, the winner."""
        for rule in self.rules:
            for host in dict.fromkeys(rule.hosts if _is_for_mesh(rule) else ()):
                if self._exact[host] is not rule:
                    yield host, rule, self._exact[host]

    @cached_property
    def _patterns(self) -> tuple[tuple[str, RouteRule], ...]:
        found = ((host, rule) for host, rule in self._exact.items() if host.startswith("*"))
        return tuple(sorted(found, key=lambda one: host_rank(one[0])))

    def rule(self, host: str) -> RouteRule | None:
        """The rule by which sidecars call a host.

        An exact one, else that of the longest wildcard; the oldest of equals. A host that
        has none may be in test environments.
        """
        exact = self._exact.get(host)
        if exact is not None:
            return exact
        matching = (rule for pattern, rule in self._patterns if is_host_match(pattern, host))
        return next(matching, None) or self.isolation.rule_of(host)

    @property
    def hosts(self) -> Iterable[str]:
        """Every host and wildcard that some rule for sidecars names."""
        return self._exact

    def at_gateway(self, place: CalledAt) -> Iterator[RouteRule]:
        """The rules of a gateway or of one of its servers, in order of precedence."""
        return (
            rule
            for rule in self.rules
            if place.is_at(rule.gateways)
            or any(place.is_at(one.gateways) for one in _caller_matches(rule))
        )

    def is_same(self, other: Routing) -> bool:
        """Whether both give the same rules to the same callers."""
        return (self.caller, self.rules, self.isolation) == (
            other.caller,
            other.rules,
            other.isolation,
        )


def routing(rules: RuleSet, caller: Caller, isolation: Isolation = NOTHING_APART) -> Routing:
    """The route rules for this caller."""
    routes = rules.routes if caller.sight is None else caller.sight.rules(rules.routes)
    return Routing(
        caller=caller,
        isolation=isolation,
        rules=tuple(
            isolation.rule(rule)
            for rule in routes
            if is_exported(rule.export_to, rule.namespace, caller.namespace)
        ),
    )


def _is_for_mesh(rule: RouteRule) -> bool:
    return MESH in rule.gateways or any(MESH in one.gateways for one in _caller_matches(rule))


@frozen(kw_only=True, eq=False)
class Policies:
    """The destination policies that some callers go by.

    Attributes:
        caller: what the callers have in common.
        root: the namespace whose policies are the mesh's defaults.
        policies: those that are for the callers, in order of precedence.
        isolation: the test environments, whose endpoints are set apart.
    """

    caller: Caller = field(factory=Caller)
    root: str = ""
    policies: tuple[DestinationPolicy, ...] = ()
    isolation: Isolation = field(factory=Isolation)
    _found: dict[ServiceKey, DestinationPolicy | None] = field(factory=dict, init=False)

    @cached_property
    def _exact(self) -> Mapping[tuple[str, str], tuple[DestinationPolicy, ...]]:
        """By home and host, in order of precedence."""
        found: dict[tuple[str, str], list[DestinationPolicy]] = {}
        for policy in self.policies:
            found.setdefault((policy.namespace, policy.host), []).append(policy)
        return {place: tuple(some) for place, some in found.items()}

    @cached_property
    def _patterns(self) -> Mapping[str, tuple[DestinationPolicy, ...]]:
        """Those for wildcards by home, the most specific first."""
        found: dict[str, list[DestinationPolicy]] = {}
        for policy in self.policies:
            if policy.host.startswith("*"):
                found.setdefault(policy.namespace, []).append(policy)
        return {
            home: tuple(sorted(some, key=lambda policy: host_rank(policy.host)))
            for home, some in found.items()
        }

    def of(self, service: Service) -> DestinationPolicy | None:
        """The policy for a service (Istio's order).

        The caller's own namespace comes first, then the service's, then the root namespace
        and the policies without a namespace.
        """
        if not self.isolation.present:
            return self._of(service)
        # The one that is made for a host stays the same object.
        if service.key not in self._found:
            self._found[service.key] = self.isolation.policy(service.host, self._of(service))
        return self._found[service.key]

    def _of(self, service: Service) -> DestinationPolicy | None:
        if not self.policies:
            return None
        own_homes = (self.caller.namespace, service.namespace or "")
        homes = (*(home for home in own_homes if home not in {"", self.root}), self.root, "")
        for home in dict.fromkeys(homes):
            own_host = self._exact.get((home, service.host), ())
            every = (*own_host, *self._patterns.get(home, ()))
            some = [one for one in every if self._is_for(one, service)]
            general = next((one for one in some if one.selector is None), None)
            own = next((one for one in some if one.selector is not None), None)
            if own is not None:
                return own if general is None else _completed(own, general)
            if general is not None:
                return general
        return None

    def _is_for(self, policy: DestinationPolicy, service: Service) -> bool:
        if policy.selector is not None and not (
            policy.namespace == self.caller.namespace
            and policy.selector.is_match(self.caller.labels)
        ):
            return False
        return is_host_match(policy.host, service.host)

    def is_same(self, other: Policies) -> bool:
        """Whether both give the same policies to the same callers."""
        return (self.caller, self.root, self.policies, self.isolation) == (
            other.caller,
            other.root,
            other.policies,
            other.isolation,
        )


def _completed(own: DestinationPolicy, general: DestinationPolicy) -> DestinationPolicy:
    """A policy for some workloads, with what it does not say from the one for all."""
    names = {subset.name for subset in own.subsets}
    others = (subset for subset in general.subsets if subset.name not in names)
    return evolve(
        own,
        subsets=(*own.subsets, *others),
        policies=PortPolicies(
            all=own.policies.all.over(general.policies.all),
            by_port=own.policies.by_port or general.policies.by_port,
        ),
    )


def policies(
    rules: RuleSet, caller: Caller, root: str, isolation: Isolation = NOTHING_APART
) -> Policies:
    """The destination policies for this caller."""
    return Policies(
        caller=caller,
        isolation=isolation,
        root=root,
        policies=tuple(
            policy
            for policy in rules.policies
            if is_exported(policy.export_to, policy.namespace, caller.namespace)
        ),
    )
