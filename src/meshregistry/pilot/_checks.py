"""What is wrong with documents, found without running anything."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from meshregistry.documents import nothing_in, structure
from meshregistry.errors import ConfigError
from meshregistry.pilot._decisions import unknown_sources
from meshregistry.pilot._rule_sources import FILE, rule_readings
from meshregistry.registries import FileConfig, document_faults, rule_documents, service_hosts
from meshregistry.rules import (
    RULE_KINDS,
    CrossFindings,
    Decisions,
    MeshSettings,
    cross_findings,
    read_rules,
)
from meshregistry.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from meshregistry.documents import Position, RuleDocument
    from meshregistry.rules import Reading


def check_warnings(path: Path) -> Iterator[ConfigError]:
    """What routing documents say to no effect: those of a settings file, or of a path.

    And that there is nothing at all in a path.
    """
    with contextlib.suppress(ConfigError):
        if path.is_file() and Settings.is_settings(path):
            for reading in rule_readings(Settings.load(path)):
                yield from reading.warnings
        else:
            listing = rule_documents(path)
            # What is no routing document is a fault in this listing.
            if not listing.documents and not listing.faults:
                yield nothing_in(str(path))
            for _, reading in _readings(path):
                yield from reading.warnings


def check_together(path: Path) -> CrossFindings:
    """What is wrong between the routing documents of a settings file, or of a path.

    References to what is not there are errors only where all documents are at hand: in
    settings whose rule sources are all files. Hosts that no source knows are found where the
    sources are all files, too. Nothing is said while a document is broken.
    """
    readings: list[Reading] = []
    is_whole = False
    hosts: frozenset[str] | None = None
    sources: list[str] | None = None
    try:
        if path.is_file() and Settings.is_settings(path):
            settings = Settings.load(path)
            sources = [one.id for one in settings.sources]
            is_whole = all(one.kind == FILE for one in settings.rules)
            readings = list(rule_readings(settings))
            hosts = _hosts(settings)
        else:
            readings = [reading for _, reading in _readings(path)]
    except ConfigError:
        return CrossFindings()
    if any(reading.errors for reading in readings):
        return CrossFindings()
    every = [rule for reading in readings for rule in reading.rules]
    found = cross_findings(every, hosts)
    if sources is not None:
        found.warnings += unknown_sources(Decisions.of(every), sources)
    if is_whole:
        return found
    return CrossFindings(errors=[], warnings=[*found.errors, *found.warnings])


def _hosts(settings: Settings) -> frozenset[str] | None:
    """All hosts that the sources know; None if that cannot be told from files.

    Raises:
        ConfigError: if the options of a source are wrong.
    """
    if any(source.kind != FILE for source in settings.sources):
        return None
    found: set[str] = set()
    for source in settings.sources:
        config = structure(source.options, FileConfig, base_path=settings.base_path)
        try:
            found |= service_hosts(
                settings.base_path / config.path, mesh_domain=settings.mesh.domain
            )
        except OSError:
            return None  # said of the source itself already
    return frozenset(found)


def check_documents(path: Path) -> Iterator[ConfigError]:
    """Every fault of a file or folder of service documents and routing documents."""
    readings = list(_readings(path))
    # What is no service document may be a routing document.
    kinds = {_place(document.root.get("kind")) for document, _ in readings}
    for fault in document_faults(path):
        if fault.field != "kind" or (fault.file, fault.line) not in kinds:
            yield fault
    for _, reading in readings:
        yield from reading.errors


def _place(node: Position | None) -> tuple[str | None, int | None]:
    return (None, None) if node is None else (node.file, node.line)


def _readings(path: Path) -> Iterator[tuple[RuleDocument, Reading]]:
    """The routing documents of a path, of the kinds that are read."""
    known = {(kind.group, kind.kind) for kind in RULE_KINDS}
    for document in rule_documents(path).documents:
        if (document.key.group, document.key.kind) in known:
            yield document, read_rules(document, MeshSettings().domain)
