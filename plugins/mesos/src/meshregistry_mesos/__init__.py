"""A meshregistry plugin: the kinds ``mesos`` and ``marathon`` follow a cluster of Mesos."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshregistry.spi import RegistryKind, hookimpl
from meshregistry_mesos._config import HealthConfig, LocalityConfig, MesosConfig, file_faults
from meshregistry_mesos._marathon_config import MarathonConfig

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from meshregistry.spi import Registry, RegistryContext
    from meshregistry_mesos._marathon import MarathonClient
    from meshregistry_mesos._master import MesosClient

__all__ = [
    "HealthConfig",
    "LocalityConfig",
    "MarathonConfig",
    "MesosConfig",
    "connect_marathon",
    "connect_mesos",
    "meshregistry_register_registries",
    "open_marathon",
    "open_mesos",
]


def connect_mesos(
    config: MesosConfig, context: RegistryContext
) -> AbstractAsyncContextManager[MesosClient]:
    """One client for the life of a source; it speaks to a master when it is first asked to."""
    from meshregistry_mesos._master import MesosClient  # noqa: PLC0415 - the library loads late

    return MesosClient(config, context)


def open_mesos(config: MesosConfig, context: RegistryContext) -> Registry:
    """The registry of one attempt; the work begins when the core runs it."""
    from meshregistry_mesos._mesos import MesosRegistry  # noqa: PLC0415 - as above

    return MesosRegistry(config, context)


def connect_marathon(
    config: MarathonConfig, context: RegistryContext
) -> AbstractAsyncContextManager[MarathonClient]:
    """One client for the life of a source; it speaks to Marathon when it is first asked to."""
    from meshregistry_mesos._marathon import (  # noqa: PLC0415 - as above
        MarathonClient,
    )

    return MarathonClient(config, context)


def open_marathon(config: MarathonConfig, context: RegistryContext) -> Registry:
    """The registry of one attempt."""
    from meshregistry_mesos._follow import MarathonRegistry  # noqa: PLC0415 - as above

    return MarathonRegistry(config, context)


@hookimpl
def meshregistry_register_registries() -> list[RegistryKind]:
    """Offer both kinds to every Pilot."""
    return [
        RegistryKind(
            name="mesos",
            config_class=MesosConfig,
            open=open_mesos,
            connect=connect_mesos,
            check=file_faults,
            summary="Mesos: running tasks and their discovery information, followed by events",
        ),
        RegistryKind(
            name="marathon",
            config_class=MarathonConfig,
            open=open_marathon,
            connect=connect_marathon,
            check=file_faults,
            summary="Marathon: apps and pods with their health, followed by events",
        ),
    ]
