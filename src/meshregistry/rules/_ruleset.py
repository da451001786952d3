"""The neutral routing configuration: values that know neither Envoy nor YAML."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from attrs import frozen

from meshregistry.rules._decisions import Drain, LossAcceptance, SourceShift
from meshregistry.rules._destinations import DestinationPolicy
from meshregistry.rules._environments import Environment
from meshregistry.rules._gateways import Gateway, SidecarScope
from meshregistry.rules._grants import Grant, granted
from meshregistry.rules._joining import joined_policies, joined_routes
from meshregistry.rules._routes import RouteRule

if TYPE_CHECKING:
    from collections.abc import Iterable

OperatorDecision: TypeAlias = SourceShift | Drain | LossAcceptance
"""One decision of an operator; it is about the catalog, and no part of a rule set."""

Rule: TypeAlias = (
    RouteRule | DestinationPolicy | Gateway | SidecarScope | Environment | Grant | OperatorDecision
)
"""One rule of any sort."""


@frozen(kw_only=True)
class RuleSet:
    """All rules of the mesh, each sort in order of precedence: older first, then by name.

    Equal rule sets generate equal configuration; where rules were written plays no part.

    Attributes:
        routes: where requests and connections go.
        policies: how the chosen services are reached.
        gateways: what routers listen for.
        scopes: what sidecars see.
        environments: whose requests and endpoints are kept apart.
    """

    routes: tuple[RouteRule, ...] = ()
    policies: tuple[DestinationPolicy, ...] = ()
    gateways: tuple[Gateway, ...] = ()
    scopes: tuple[SidecarScope, ...] = ()
    environments: tuple[Environment, ...] = ()

    @classmethod
    def of(cls, rules: Iterable[Rule]) -> RuleSet:
        """Put rules in order, older ones first, and join those that speak of one host."""
        routes: list[RouteRule] = []
        policies: list[DestinationPolicy] = []
        gateways: list[Gateway] = []
        scopes: list[SidecarScope] = []
        environments: list[Environment] = []
        grants: list[Grant] = []
        for rule in sorted(rules, key=lambda rule: (rule.created, rule.namespace, rule.name)):
            match rule:
                case RouteRule():
                    routes.append(rule)
                case DestinationPolicy():
                    policies.append(rule)
                case Gateway():
                    gateways.append(rule)
                case SidecarScope():
                    scopes.append(rule)
                case Environment():
                    environments.append(rule)
                case Grant():
                    grants.append(rule)
        return cls(
            routes=tuple(granted(rule, grants) for rule in joined_routes(routes)),
            policies=tuple(joined_policies(policies)),
            gateways=tuple(gateways),
            scopes=tuple(scopes),
            environments=tuple(environments),
        )

    def __bool__(self) -> bool:
        return self != _NOTHING


_NOTHING = RuleSet()


def is_exported(export_to: tuple[str, ...], home: str, namespace: str) -> bool:
    """Whether what is exported like this from its home is for proxies of a namespace."""
    return "*" in export_to or namespace in export_to or ("." in export_to and home == namespace)
