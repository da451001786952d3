"""A meshregistry plugin: the registry kind ``kubernetes`` follows the services of a cluster."""

from meshregistry.spi import RegistryKind, hookimpl
from meshregistry_kubernetes._config import KubernetesConfig, check
from meshregistry_kubernetes._registry import open_registry

__all__ = ["KubernetesConfig", "meshregistry_register_registries"]


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
