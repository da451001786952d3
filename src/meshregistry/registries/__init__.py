"""The registry kinds that come with the core."""

from meshregistry.registries._memory import Memories, MemoryConfig, MemoryRegistry

__all__ = [
    "Memories",
    "MemoryConfig",
    "MemoryRegistry",
]
