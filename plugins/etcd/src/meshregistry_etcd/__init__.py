"""A meshregistry plugin: the kind ``etcd`` follows services and rules in etcd, and registers."""

from meshregistry_etcd._config import EtcdConfig, EtcdRulesConfig
from meshregistry_etcd._kind import (
    meshregistry_register_registries,
    meshregistry_register_rule_sources,
)

__all__ = [
    "EtcdConfig",
    "EtcdRulesConfig",
    "meshregistry_register_registries",
    "meshregistry_register_rule_sources",
]
