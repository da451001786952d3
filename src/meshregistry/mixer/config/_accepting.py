"""Documents that turn out to be wrong keep their last good version in force.

A rule that a misspelt word takes out of force would let everything pass that it denied; so
a document is replaced only by one that is right.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from attrs import frozen

from meshregistry.documents import DocumentKey
from meshregistry.errors import ConfigError
from meshregistry.mixer.config._building import DEFAULT_NAMESPACE, snapshot
from meshregistry.mixer.config._snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from meshregistry.documents import RuleDocument
    from meshregistry.mixer.config._reading import Known


@frozen(kw_only=True)
class Accepted:
    """A configuration made of what is right.

    Attributes:
        snapshot: to put into force.
        faults: everything that is wrong with the documents as they are written.
        kept: documents whose last good version is in force instead.
    """

    snapshot: Snapshot
    faults: tuple[ConfigError, ...]
    kept: tuple[DocumentKey, ...]


class Configurator:
    """Builds one configuration after the other.

    Args:
        known: adapters and templates.
        default_namespace: the one whose rules are for every request.
        base_path: the folder that relative paths of parameters start from.
    """

    def __init__(
        self,
        known: Known,
        *,
        default_namespace: str = DEFAULT_NAMESPACE,
        base_path: Path | None = None,
    ) -> None:
        self._known = known
        self._default_namespace = default_namespace
        self._base_path = base_path
        self._good: dict[DocumentKey, RuleDocument] = {}

    def build(self, documents: Iterable[RuleDocument]) -> Accepted:
        """The configuration of these documents.

        Where one is wrong and was right before, what it said then is part of it.
        """
        written = {document.key: document for document in documents}
        faults: list[ConfigError] = []
        made = self._snapshot(written.values(), faults)
        wrong = _at_fault(tuple(written.values()), faults)
        kept = {key: self._good[key] for key in written if key in wrong and key in self._good}
        self._good = {
            key: kept.get(key, document)
            for key, document in written.items()
            if key not in wrong or key in kept
        }
        if kept:
            # In the place of the new version, since order counts. What was good together with
            # others may not be any more; that is reported above.
            made = self._snapshot((kept.get(key, one) for key, one in written.items()), [])
        return Accepted(snapshot=made, faults=tuple(faults), kept=tuple(kept))

    def _snapshot(self, documents: Iterable[RuleDocument], faults: list[ConfigError]) -> Snapshot:
        return snapshot(
            documents,
            self._known,
            faults,
            default_namespace=self._default_namespace,
            base_path=self._base_path,
        )


def _at_fault(
    documents: Sequence[RuleDocument], faults: Iterable[ConfigError]
) -> frozenset[DocumentKey]:
    """The documents that the faults stand in: the last that begins at or before each line."""
    by_file: dict[str, list[tuple[int, DocumentKey]]] = {}
    for document in sorted(documents, key=lambda one: one.root.line or 0):
        root = document.root
        by_file.setdefault(root.file, []).append((root.line or 0, document.key))
    found = set()
    for fault in faults:
        listed = by_file.get(fault.file or "", [])
        place = bisect_right([line for line, _ in listed], fault.line or 0) - 1
        if place >= 0:
            found.add(listed[place][1])
    return frozenset(found)
