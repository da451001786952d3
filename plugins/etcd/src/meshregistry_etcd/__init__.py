"""A meshregistry plugin: the registry kind ``etcd`` follows services in etcd, and registers them."""

from meshregistry_etcd._config import EtcdConfig
from meshregistry_etcd._kind import meshregistry_register_registries

__all__ = ["EtcdConfig", "meshregistry_register_registries"]
