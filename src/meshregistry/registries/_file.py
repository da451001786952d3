"""The file registry: documents in a file or folder, followed as they change."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from meshregistry.errors import ConfigError, RegistryUnavailable
from meshregistry.registries._file_documents import FileDocuments, Listing
from meshregistry.registries._file_follow import Round, document_files, watch
from meshregistry.registries._file_loop import FileConfig, FileLoop, Watch
from meshregistry.registries._group_book import GroupBook
from meshregistry.registries._probe_calls import ask
from meshregistry.registries._prober import Ask, Prober

_TOGETHER = 0.05
"""Seconds in which changes of health are gathered."""

if TYPE_CHECKING:
    from pathlib import Path

    from meshregistry.registries._probe import Target
    from meshregistry.spi import RegistryContext, Sink


class FileRegistry:
    """Follows service documents in files; see `FileLoop`. Probes workloads; see `Prober`.

    Args:
        config: what the user wrote.
        context: what the core gives.
        book: is told of the groups that the files describe.
        watch: a blocking function that calls back after changes, for tests.
        ask: asks one workload for its health, for tests.
    """

    def __init__(
        self,
        config: FileConfig,
        context: RegistryContext,
        *,
        book: GroupBook | None = None,
        watch: Watch = watch,
        ask: Ask = ask,
    ) -> None:
        self._loop = FileLoop(config, context, watch=watch)
        self._trust_domain = context.mesh_domain
        self._prober = Prober(context, self._found, ask=ask)
        self._book = GroupBook() if book is None else book
        self._source = context.source_id
        self._sink: Sink | None = None
        self._listing: Listing | None = None
        self._news: set[Target] = set()

    async def run(self, sink: Sink) -> None:
        """Follow until cancelled."""
        self._sink = sink
        documents = FileDocuments(trust_domain=self._trust_domain)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._prober.run())
            await self._loop.follow(documents, self._take)

    async def _take(self, done: Round[Listing]) -> None:
        sink = self._sink
        if sink is None:  # pragma: no cover - `run` has set it
            return
        if done.missing is not None:
            sink.degrade(RegistryUnavailable(f"{done.missing}; make it, or correct path:"))
        elif done.listing is not None:
            before, self._listing = self._listing, done.listing
            self._book.put(self._source, done.listing.groups, done.listing.entries)
            served = () if before is None else before.addresses()
            self._prober.follow(done.listing.probed.values(), served)
            if before is None:
                # What is published before anybody was asked would take everybody out of service.
                await self._prober.settled()
            sink.replace(done.listing.with_health(self._prober.health), faulty=done.listing.faulty)
        elif done.deadline is None:
            sink.confirm()

    def _found(self, target: Target) -> None:
        """Publish soon what a probe has found, together with what others find meanwhile."""
        if not self._news:
            asyncio.get_running_loop().call_later(_TOGETHER, self._tell)
        self._news.add(target)

    def _tell(self) -> None:
        """Publish what probes have found; the files say what they said before."""
        news, self._news = self._news, set()
        if self._sink is not None and self._listing is not None:
            for record in self._listing.probed_with_health(self._prober.health, news):
                self._sink.upsert(record)


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
