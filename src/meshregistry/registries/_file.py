"""The file registry: documents in a file or folder, followed as they change."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from meshregistry.errors import ConfigError, RegistryUnavailable
from meshregistry.registries._file_documents import FileDocuments, Listing
from meshregistry.registries._file_follow import Round, document_files, watch
from meshregistry.registries._file_loop import FileConfig, FileLoop, Watch

if TYPE_CHECKING:
    from pathlib import Path

    from meshregistry.spi import RegistryContext, Sink


class FileRegistry:
    """Follows service documents in files; see `FileLoop`.

    Args:
        config: what the user wrote.
        context: what the core gives.
        watch: a blocking function that calls back after changes, for tests.
    """

    def __init__(
        self, config: FileConfig, context: RegistryContext, *, watch: Watch = watch
    ) -> None:
        self._loop = FileLoop(config, context, watch=watch)
        self._trust_domain = context.mesh_domain

    async def run(self, sink: Sink) -> None:
        """Follow until cancelled."""
        documents = FileDocuments(trust_domain=self._trust_domain)
        await self._loop.follow(documents, partial(_publish, sink))


def _publish(sink: Sink, done: Round[Listing]) -> None:
    if done.missing is not None:
        sink.degrade(RegistryUnavailable(f"{done.missing}; make it, or correct path:"))
    elif done.listing is not None:
        sink.replace(done.listing.records, faulty=done.listing.faulty)
    elif done.deadline is None:
        sink.confirm()


def document_faults(path: Path, *, mesh_domain: str = "mesh.local") -> list[ConfigError]:
    """Every fault in the documents of a file or folder, without following anything."""
    try:
        return list(_listing(path, mesh_domain).faults)
    except OSError as error:
        reason = error.strerror or str(error)
        return [ConfigError(f"cannot be read: {reason}", file=str(path), remedy="correct the path")]


def service_hosts(path: Path, *, mesh_domain: str = "mesh.local") -> frozenset[str]:
    """The hosts of all good documents of a file or folder, without following anything.

    Raises:
        OSError: if it cannot be read.
    """
    return frozenset(str(record.service.host) for record in _listing(path, mesh_domain).records)


def _listing(path: Path, mesh_domain: str) -> Listing:
    documents = FileDocuments(trust_domain=mesh_domain)
    for file in document_files(path):
        try:
            documents.put(str(file), file.read_bytes())
        except OSError as error:
            documents.unreadable(str(file), error.strerror or str(error))
    return documents.listing()
