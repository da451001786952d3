"""meshregistry: a service-mesh control plane that can be imported.

Importing this package loads none of its dependencies: a name is imported when it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshregistry.errors import ConfigError, MeshRegistryError, PilotFailed
    from meshregistry.model import Catalog, CatalogDiff, Endpoint, Service, ServiceRecord
    from meshregistry.pilot import Pilot
    from meshregistry.settings import Settings

    __version__: str

__all__ = [
    "Catalog",
    "CatalogDiff",
    "ConfigError",
    "Endpoint",
    "MeshRegistryError",
    "Pilot",
    "PilotFailed",
    "Service",
    "ServiceRecord",
    "Settings",
    "__version__",
]

_HOMES = {
    "Catalog": "model",
    "CatalogDiff": "model",
    "ConfigError": "errors",
    "Endpoint": "model",
    "MeshRegistryError": "errors",
    "Pilot": "pilot",
    "PilotFailed": "errors",
    "Service": "model",
    "ServiceRecord": "model",
    "Settings": "settings",
}


if not TYPE_CHECKING:  # else checkers would take any name for one of ours

    def __getattr__(name: str) -> object:
        """Import a public name at its first use (PEP 562)."""
        if name == "__version__":
            from importlib.metadata import version  # noqa: PLC0415 - costs milliseconds that few need

            return version("meshregistry")
        if name not in _HOMES:
            msg = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(msg)
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
