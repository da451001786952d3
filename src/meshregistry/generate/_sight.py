"""What the sidecars of some workloads see, if a `SidecarScope` narrows it (Istio's Sidecar)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve, frozen

from meshregistry.generate._resolution import destinations
from meshregistry.rules import MESH, SidecarScope, is_exported, is_host_match

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meshregistry.generate._world import Scope
    from meshregistry.model import Service
    from meshregistry.rules import RouteRule


@frozen(cache_hash=True)
class Sight:
    """A scope, as it holds for workloads of one namespace.

    Attributes:
        scope: that narrows what they see.
        namespace: of the workloads; what a scope of the root namespace calls ``.``.
    """

    scope: SidecarScope
    namespace: str

    def is_seen(self, home: str, host: str, port: int | None = None) -> bool:
        """Whether a host of a namespace is seen, or one port of it.

        A listener for one port decides about that port alone, and all others about the
        rest.
        """
        if not self.scope.egress:
            return True
        special = {listener.port for listener in self.scope.egress} - {None}
        return any(
            self._is_named(pattern, home, host)
            for listener in self.scope.egress
            if port is None or listener.port == (port if port in special else None)
            for pattern in listener.hosts
        )

    def _is_named(self, pattern: str, home: str, host: str) -> bool:
        namespace, _, wanted = pattern.partition("/")
        if namespace == ".":
            namespace = self.namespace
        return namespace in {"*", home} and is_host_match(wanted, host)

    def rules(self, rules: Iterable[RouteRule]) -> tuple[RouteRule, ...]:
        """The rules of which some host is seen."""
        return tuple(
            rule for rule in rules if any(self.is_seen(rule.namespace, host) for host in rule.hosts)
        )

    def narrowed(self, whole: Scope, rules: Iterable[RouteRule]) -> Scope:
        """The services that are seen, and those that the rules of seen hosts lead to."""
        needed = {
            destination.host
            for rule in self.rules(rules)
            if MESH in rule.gateways and is_exported(rule.export_to, rule.namespace, self.namespace)
            for route in rule.http
            for destination in destinations(route)
        }
        services = (
            service if service.host in needed else self._seen(service) for service in whole.services
        )
        name = f"{self.scope.namespace}/{self.scope.name}@{self.namespace}"
        return evolve(whole, sight=name, services=tuple(filter(None, services)))

    def _seen(self, service: Service) -> Service | None:
        home = service.namespace or ""
        ports = tuple(
            port for port in service.ports if self.is_seen(home, service.host, port.number)
        )
        if len(ports) == len(service.ports):
            return service
        return evolve(service, ports=ports) if ports else None


def sight(
    scopes: Iterable[SidecarScope], namespace: str, labels: Mapping[str, str], root: str
) -> Sight | None:
    """The scope for a workload: the first that selects it, else its namespace's, else the root's.

    None: it sees everything that is exported to it.
    """
    by_rank: dict[int, SidecarScope] = {}
    for scope in scopes:
        if scope.selector is not None:
            if scope.namespace == namespace and scope.selector.is_match(labels):
                by_rank.setdefault(0, scope)
        elif scope.namespace == namespace:
            by_rank.setdefault(1, scope)
        elif scope.namespace == root:
            by_rank.setdefault(2, scope)
    return Sight(by_rank[min(by_rank)], namespace) if by_rank else None
