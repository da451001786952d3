"""A meshregistry plugin: the kind ``eureka`` follows Eureka servers, and registers in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshregistry.spi import RegistryKind, hookimpl
from meshregistry_eureka._config import EurekaConfig, HealthConfig, LocalityConfig, file_faults

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from meshregistry.spi import Registrar, Registry, RegistryContext
    from meshregistry_eureka._client import EurekaClient

__all__ = [
    "EurekaConfig",
    "HealthConfig",
    "LocalityConfig",
    "connect",
    "meshregistry_register_registries",
    "open_registrar",
    "open_registry",
]


def connect(
    config: EurekaConfig, context: RegistryContext
) -> AbstractAsyncContextManager[EurekaClient]:
    """One client for the life of a source; it remembers which server answered last."""
    from meshregistry_eureka._client import EurekaClient  # noqa: PLC0415 - aiohttp loads late

    return EurekaClient(config, context)


def open_registry(config: EurekaConfig, context: RegistryContext) -> Registry:
    """The registry of one attempt; the work begins when the core runs it."""
    from meshregistry_eureka._registry import EurekaRegistry  # noqa: PLC0415 - as above

    return EurekaRegistry(config, context)


def open_registrar(config: EurekaConfig, context: RegistryContext) -> Registrar:
    """Writes instances; see `EurekaRegistrar`."""
    from meshregistry_eureka._registrar import EurekaRegistrar  # noqa: PLC0415 - as above

    return EurekaRegistrar(config, context)


@hookimpl
def meshregistry_register_registries() -> RegistryKind:
    """Offer the kind to every Pilot."""
    return RegistryKind(
        name="eureka",
        config_class=EurekaConfig,
        open=open_registry,
        connect=connect,
        registrar=open_registrar,
        check=file_faults,
        summary="Eureka: applications and their instances, polled as deltas",
    )
