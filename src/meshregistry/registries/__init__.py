"""The registry kinds that come with the core."""

from meshregistry.registries._file import FileRegistry, document_faults, service_hosts
from meshregistry.registries._file_follow import Round
from meshregistry.registries._file_loop import FileConfig
from meshregistry.registries._group_book import GroupBook, Groups
from meshregistry.registries._machine import Machine, read_machine
from meshregistry.registries._memory import Memories, MemoryConfig, MemoryRegistry
from meshregistry.registries._rule_file_writer import RuleFileWriter
from meshregistry.registries._rule_files import RuleFiles, rule_documents

__all__ = [
    "FileConfig",
    "FileRegistry",
    "GroupBook",
    "Groups",
    "Machine",
    "Memories",
    "MemoryConfig",
    "MemoryRegistry",
    "Round",
    "RuleFileWriter",
    "RuleFiles",
    "document_faults",
    "read_machine",
    "rule_documents",
    "service_hosts",
]
