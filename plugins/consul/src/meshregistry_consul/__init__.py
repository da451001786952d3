"""A meshregistry plugin: the registry kind ``consul`` follows a Consul cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshregistry.spi import RegistryKind, hookimpl
from meshregistry_consul._config import ConsulConfig, HealthConfig, LocalityConfig, file_faults

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from meshregistry.spi import Registry, RegistryContext
    from meshregistry_consul._client import ConsulClient

__all__ = [
    "ConsulConfig",
    "HealthConfig",
    "LocalityConfig",
    "connect",
    "meshregistry_register_registries",
    "open_registry",
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


@hookimpl
def meshregistry_register_registries() -> RegistryKind:
    """Offer the kind to every Pilot."""
    return RegistryKind(
        name="consul",
        config_class=ConsulConfig,
        open=open_registry,
        connect=connect,
        check=file_faults,
        summary="Consul: services and their health, followed by blocking queries",
    )
