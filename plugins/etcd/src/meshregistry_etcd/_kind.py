"""The kind itself: every heavy import waits until a source is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshregistry.errors import ConfigError
from meshregistry.spi import RegistryKind, RuleSourceKind, hookimpl
from meshregistry_etcd._config import EtcdConfig, EtcdRulesConfig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from meshregistry.spi import (
        Registrar,
        Registry,
        RegistryContext,
        RuleContext,
        RuleSource,
        RuleWriter,
    )
    from meshregistry_etcd._client import EtcdClient


def connect(
    config: EtcdConfig, context: RegistryContext
) -> AbstractAsyncContextManager[EtcdClient]:
    """One client for the life of a source: its channels, its token, its favourite endpoint."""
    from meshregistry_etcd._client import EtcdClient  # noqa: PLC0415 - heavy, so only when used

    return EtcdClient(
        config, clock=context.clock, random=context.random, user_agent=context.user_agent
    )


def open_registry(config: EtcdConfig, context: RegistryContext) -> Registry:
    """The registry of one source."""
    from meshregistry_etcd._registry import EtcdRegistry  # noqa: PLC0415 - heavy, so only when used

    return EtcdRegistry(config, context)


def open_registrar(config: EtcdConfig, context: RegistryContext) -> Registrar:
    """The registrar of one source.

    Raises:
        ConfigError: unless the source has our own layout.
    """
    from meshregistry_etcd._registrar import (  # noqa: PLC0415 - heavy, so only when used
        EtcdRegistrar,
    )

    return EtcdRegistrar(config, context)


def check(config: EtcdConfig, base_path: Path) -> Iterator[ConfigError]:
    """What is wrong with the files that the options name."""
    del base_path
    for option, path in (
        ("ca_cert", config.ca_cert),
        ("cert_cert", config.cert_cert),
        ("cert_key", config.cert_key),
        ("password_file", config.password.file if config.password else None),
    ):
        if path is None:
            continue
        try:
            path.read_bytes()
        except OSError as error:
            yield ConfigError(
                f"the file cannot be read: {error.strerror or error}",
                file=str(path),
                field=option,
                remedy="correct the path or its permissions",
            )


@hookimpl
def meshregistry_register_registries() -> RegistryKind:
    """Offer the kind to every Pilot."""
    return RegistryKind(
        name="etcd",
        config_class=EtcdConfig,
        open=open_registry,
        connect=connect,
        registrar=open_registrar,
        check=check,
        summary="etcd 3.4 or later: our own key layout, go-kit, gRPC naming, SkyDNS, Registrator",
    )


def open_rules(config: EtcdRulesConfig, context: RuleContext) -> RuleSource:
    """The rule source of one attempt."""
    from meshregistry_etcd._rules import EtcdRules  # noqa: PLC0415 - heavy, so only when used

    return EtcdRules(config, context)


def open_writer(config: EtcdRulesConfig, context: RuleContext) -> RuleWriter:
    """What writes documents under the prefix."""
    from meshregistry_etcd._writer import (  # noqa: PLC0415 - heavy, so only when used
        EtcdRuleWriter,
    )

    return EtcdRuleWriter(config, context)


@hookimpl
def meshregistry_register_rule_sources() -> RuleSourceKind:
    """Offer the kind of rule source to every Pilot."""
    return RuleSourceKind(
        name="etcd",
        config_class=EtcdRulesConfig,
        open=open_rules,
        registry="etcd",
        summary="routing documents under a prefix of etcd",
        writer=open_writer,
    )
