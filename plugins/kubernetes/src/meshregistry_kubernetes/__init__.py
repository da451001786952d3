"""A meshregistry plugin: the kind ``kubernetes`` follows services and routing of a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshregistry.spi import RegistryKind, RuleSourceKind, hookimpl
from meshregistry_kubernetes._config import KubernetesConfig, KubernetesRulesConfig, check
from meshregistry_kubernetes._registry import open_registry

if TYPE_CHECKING:
    from meshregistry.spi import RuleContext, RuleSource, RuleWriter

__all__ = [
    "KubernetesConfig",
    "KubernetesRulesConfig",
    "meshregistry_register_registries",
    "meshregistry_register_rule_sources",
]


@hookimpl
def meshregistry_register_registries() -> RegistryKind:
    """Offer the kind to every Pilot."""
    return RegistryKind(
        name="kubernetes",
        config_class=KubernetesConfig,
        open=open_registry,
        summary="services and endpoint slices of a Kubernetes cluster",
        check=check,
    )


def open_rules(config: KubernetesRulesConfig, context: RuleContext) -> RuleSource:
    """The rule source of one attempt."""
    from meshregistry_kubernetes._rules import (  # noqa: PLC0415 - only when used
        KubernetesRules,
    )

    return KubernetesRules(config, context)


def open_writer(config: KubernetesRulesConfig, context: RuleContext) -> RuleWriter:
    """What writes custom resources."""
    from meshregistry_kubernetes._writer import (  # noqa: PLC0415 - only when used
        KubernetesRuleWriter,
    )

    return KubernetesRuleWriter(config, context)


@hookimpl
def meshregistry_register_rule_sources() -> RuleSourceKind:
    """Offer the kind of rule source to every Pilot."""
    return RuleSourceKind(
        name="kubernetes",
        config_class=KubernetesRulesConfig,
        open=open_rules,
        registry="kubernetes",
        summary="routing documents that are custom resources of a cluster",
        writer=open_writer,
    )
