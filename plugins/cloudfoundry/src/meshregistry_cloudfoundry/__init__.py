"""A meshregistry plugin: ``gorouter`` hears routes over NATS, ``capi`` asks the Cloud Controller."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshregistry.spi import RegistryKind, hookimpl
from meshregistry_cloudfoundry._config import (
    CapiConfig,
    GorouterConfig,
    capi_file_faults,
    gorouter_file_faults,
)

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from meshregistry.spi import Registry, RegistryContext
    from meshregistry_cloudfoundry._capi_client import CapiClient

__all__ = [
    "CapiConfig",
    "GorouterConfig",
    "connect_capi",
    "meshregistry_register_registries",
    "open_capi",
    "open_gorouter",
]


def open_gorouter(config: GorouterConfig, context: RegistryContext) -> Registry:
    """The registry of one attempt; the work begins when the core runs it."""
    from meshregistry_cloudfoundry._gorouter import GorouterRegistry  # noqa: PLC0415 - loads late

    return GorouterRegistry(config, context)


def connect_capi(
    config: CapiConfig, context: RegistryContext
) -> AbstractAsyncContextManager[CapiClient]:
    """One client for the life of a source; it asks for a token when it first needs one."""
    from meshregistry_cloudfoundry._capi_client import CapiClient  # noqa: PLC0415 - loads late

    return CapiClient(config, context)


def open_capi(config: CapiConfig, context: RegistryContext) -> Registry:
    """The registry of one attempt."""
    from meshregistry_cloudfoundry._capi import open_polling  # noqa: PLC0415 - loads late

    return open_polling(config, context)


@hookimpl
def meshregistry_register_registries() -> tuple[RegistryKind, ...]:
    """Offer both kinds to every Pilot."""
    return (
        RegistryKind(
            name="gorouter",
            config_class=GorouterConfig,
            open=open_gorouter,
            check=gorouter_file_faults,
            # Routes in plaintext must end when nobody repeats them: somebody else has their
            # addresses soon. The guard would keep them just then.
            is_guarded=False,
            summary="Cloud Foundry: the routes of gorouter, heard over NATS",
        ),
        RegistryKind(
            name="capi",
            config_class=CapiConfig,
            open=open_capi,
            connect=connect_capi,
            check=capi_file_faults,
            summary="Cloud Foundry: routes and apps of the Cloud Controller, polled",
        ),
    )
