"""A meshregistry plugin: the registry kind ``hosts`` follows a hosts file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshregistry.spi import PollingRegistry, RegistryKind, hookimpl
from meshregistry_example._config import HostsConfig
from meshregistry_example._convert import hosts_records

if TYPE_CHECKING:
    from meshregistry.errors import RecordError
    from meshregistry.model import ServiceRecord
    from meshregistry.spi import Registry, RegistryContext


def open_registry(config: HostsConfig, context: RegistryContext) -> Registry:
    """Give the registry of one source; the work begins when the core runs it."""

    def list_all() -> list[ServiceRecord | RecordError]:
        return hosts_records(config.path.read_text(encoding="utf-8"), config)

    return PollingRegistry(list_all, config.interval, context)


@hookimpl
def meshregistry_register_registries() -> RegistryKind:
    """Offer the kind to every Pilot."""
    return RegistryKind(
        name="hosts",
        config_class=HostsConfig,
        open=open_registry,
        summary="a hosts file: an address and its names on each line",
    )
