"""The registry kinds that come with the core."""

from meshregistry.registries._file import FileConfig, FileRegistry, document_faults
from meshregistry.registries._memory import Memories, MemoryConfig, MemoryRegistry

__all__ = [
    "FileConfig",
    "FileRegistry",
    "Memories",
    "MemoryConfig",
    "MemoryRegistry",
    "document_faults",
]
