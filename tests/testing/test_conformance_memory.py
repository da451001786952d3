"""The memory registry keeps the contract of adapters."""

from __future__ import annotations

import pytest

from meshregistry.registries import Memories, MemoryConfig, MemoryRegistry
from meshregistry.spi import RegistryKind
from meshregistry.testing import RegistryConformance

MEMORY = Memories()


class MemoryBackend:
    """What a program does with its memory registry."""

    def __init__(self, registry: MemoryRegistry) -> None:
        self.registry = registry

    def put(self, record):
        self.registry.upsert(record)
        return record

    def remove(self, key):
        self.registry.remove(key)

    def wipe(self):
        self.registry.replace([])


class TestMemory(RegistryConformance):
    """Everything that can happen to a registry in the same process."""

    kind = RegistryKind(name="memory", config_class=MemoryConfig, open=MEMORY.open)
    capabilities = ("atomic", "wipe")

    @pytest.fixture
    def backend(self):
        """The registry of the source that the kit follows, empty."""
        backend = MemoryBackend(MEMORY.get("conformance"))
        backend.wipe()
        return backend

    def config(self, backend):
        """It waits for nothing."""
        return MemoryConfig()
