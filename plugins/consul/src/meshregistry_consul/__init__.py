"""A meshregistry plugin: the kind ``consul`` follows a Consul cluster, and rules in its store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshregistry.spi import RegistryKind, RuleSourceKind, hookimpl
from meshregistry_consul._config import (
    ConsulConfig,
    ConsulRulesConfig,
    HealthConfig,
    LocalityConfig,
    file_faults,
)

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from meshregistry.spi import (
        Registrar,
        Registry,
        RegistryContext,
        RuleContext,
        RuleSource,
        RuleWriter,
    )
    from meshregistry_consul._client import ConsulClient

__all__ = [
    "ConsulConfig",
    "ConsulRulesConfig",
    "HealthConfig",
    "LocalityConfig",
    "connect",
    "meshregistry_register_registries",
    "meshregistry_register_rule_sources",
    "open_registrar",
    "open_registry",
    "open_rules",
    "open_writer",
]


def connect(
    config: ConsulConfig, context: RegistryContext
) -> AbstractAsyncContextManager[ConsulClient]:
    """One client for the life of a source; it speaks to the agent when it is first asked to."""
    from meshregistry_consul._client import ConsulClient  # noqa: PLC0415 - the library loads late

    return ConsulClient(config, context)


def open_registry(config: ConsulConfig, context: RegistryContext) -> Registry:
    """The registry of one attempt; the work begins when the core runs it."""
    from meshregistry_consul._registry import ConsulRegistry  # noqa: PLC0415 - as above

    return ConsulRegistry(config, context)


def open_registrar(config: ConsulConfig, context: RegistryContext) -> Registrar:
    """The registrar of one source.

    Raises:
        ConfigError: if its settings leave open what an agent would register.
    """
    from meshregistry_consul._registrar import ConsulRegistrar  # noqa: PLC0415 - as above

    return ConsulRegistrar(config, context)


@hookimpl
def meshregistry_register_registries() -> RegistryKind:
    """Offer the kind to every Pilot."""
    return RegistryKind(
        name="consul",
        config_class=ConsulConfig,
        open=open_registry,
        connect=connect,
        registrar=open_registrar,
        check=file_faults,
        summary="Consul: services and their health, followed by blocking queries",
    )


def open_rules(config: ConsulRulesConfig, context: RuleContext) -> RuleSource:
    """The rule source of one attempt."""
    from meshregistry_consul._rules import ConsulRules  # noqa: PLC0415 - the library loads late

    return ConsulRules(config, context)


def open_writer(config: ConsulRulesConfig, context: RuleContext) -> RuleWriter:
    """What writes documents into the store."""
    from meshregistry_consul._writer import (  # noqa: PLC0415 - the library loads late
        ConsulRuleWriter,
    )

    return ConsulRuleWriter(config, context)


@hookimpl
def meshregistry_register_rule_sources() -> RuleSourceKind:
    """Offer the kind of rule source to every Pilot."""
    return RuleSourceKind(
        name="consul",
        config_class=ConsulRulesConfig,
        open=open_rules,
        registry="consul",
        summary="routing documents in Consul's key-value store",
        writer=open_writer,
    )
