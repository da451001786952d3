"""The routing documents of all rule sources, understood; last good versions are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from meshregistry.documents import RuleDocument, digest
from meshregistry.errors import ConfigError, RegistryError
from meshregistry.rules import Decisions, Reading, RuleSet, read_rules
from meshregistry.spi import Condition

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meshregistry.documents import DocumentKey


@frozen
class _Held:
    """A document: its newest reading, and the newest without errors with its document."""

    content: str
    newest: Reading
    good: Reading | None
    good_document: RuleDocument | None


@frozen(kw_only=True)
class RuleStatus:
    """One rule source as it is now.

    Attributes:
        id: as in the settings.
        kind: the name of its kind.
        condition: how it is doing.
        error: why it is not SYNCED; None if nothing is wrong.
        is_synced: whether it has listed its documents once.
        is_restored: whether what it has comes from a snapshot, and not from its backend.
        documents: how many it has.
        errors: what is wrong with them; those documents keep their last good version.
        warnings: what has no effect, or is likely a mistake.
    """

    id: str
    kind: str = ""
    condition: Condition = Condition.STARTING
    error: RegistryError | None = None
    is_synced: bool = False
    is_restored: bool = False
    documents: int = 0
    errors: tuple[ConfigError, ...] = field(default=())
    warnings: tuple[ConfigError, ...] = field(default=())


class RuleBook:
    """Keeps what rule sources say. Pure: it is told, and answers.

    Args:
        sources: ids in order of precedence; of two documents with one key the first counts.
        domain: of the mesh, with which short host names are completed.
    """

    def __init__(self, sources: Iterable[str], domain: str) -> None:
        self._domain = domain
        self._held: dict[str, dict[DocumentKey, _Held]] = {one: {} for one in sources}
        self._faults: dict[str, tuple[ConfigError, ...]] = {}
        self._rules = RuleSet()
        self._decisions = Decisions()

    @property
    def decisions(self) -> Decisions:
        """What operators have decided; the same object until they decide something else."""
        return self._decisions

    @property
    def rules(self) -> RuleSet:
        """Everything that is in force; the same object until it says something else."""
        return self._rules

    @property
    def unsynced(self) -> tuple[str, ...]:
        """The sources that have not listed their documents yet."""
        return tuple(source for source in self._held if source not in self._faults)

    def replace(
        self,
        source: str,
        documents: Iterable[RuleDocument],
        faults: tuple[ConfigError, ...] = (),
        *,
        is_whole: bool = True,
    ) -> bool:
        """Take all documents of a source; says whether other rules are in force now.

        Args:
            source: whose documents they are.
            documents: each whole.
            faults: of documents that cannot even be named.
            is_whole: whether what is missing is really gone.
        """
        former = self._held[source]
        held = dict(former) if not is_whole else {}
        for document in documents:
            held[document.key] = self._understood(document, former)
        self._held[source] = held
        self._faults[source] = faults
        return self._renewed()

    def restore(self, source: str, documents: Iterable[RuleDocument]) -> bool:
        """Take what a snapshot holds of a source; says whether other rules are in force now.

        The source is still one that has not listed its documents.
        """
        former = self._held[source]
        self._held[source] = {one.key: self._understood(one, former) for one in documents}
        return self._renewed()

    def good(self, source: str) -> tuple[RuleDocument, ...]:
        """The last good documents of a source, in order."""
        found = (one.good_document for one in self._held[source].values())
        return tuple(one for one in found if one is not None)

    def reconfigure(self, sources: Iterable[str]) -> bool:
        """Take other sources; says whether other rules are in force now.

        Those that were there keep what they said; those that are gone lose it.
        """
        self._held = {one: self._held.get(one, {}) for one in sources}
        self._faults = {one: told for one, told in self._faults.items() if one in self._held}
        return self._renewed()

    def _renewed(self) -> bool:
        every = [rule for one in self._in_force().values() for rule in one.rules]
        decisions = Decisions.of(every)
        if decisions != self._decisions:
            self._decisions = decisions
        rules = RuleSet.of(every)
        if rules == self._rules:
            return False
        self._rules = rules
        return True

    def _understood(self, document: RuleDocument, former: Mapping[DocumentKey, _Held]) -> _Held:
        # Where a document stands is part of what its reading says.
        content = f"{document.root.file}:{document.root.line} {digest(document.root)}"
        last = former.get(document.key)
        if last is not None and last.content == content:
            return last
        reading = read_rules(document, self._domain)
        if not reading.errors:
            return _Held(content, reading, reading, document)
        if last is None:
            return _Held(content, reading, None, None)
        return _Held(content, reading, last.good, last.good_document)

    def _in_force(self) -> Mapping[DocumentKey, Reading]:
        found: dict[DocumentKey, Reading] = {}
        for held in self._held.values():
            for key, one in held.items():
                if one.good is not None:
                    found.setdefault(key, one.good)
        return found

    def statuses(self) -> tuple[RuleStatus, ...]:
        """Every source as it is now, in order."""
        return tuple(self._status(source) for source in self._held)

    def _status(self, source: str) -> RuleStatus:
        held = self._held[source].values()
        return RuleStatus(
            id=source,
            is_synced=source in self._faults,
            documents=len(held),
            errors=(
                *self._faults.get(source, ()),
                *(error for one in held for error in one.newest.errors),
            ),
            warnings=tuple(warning for one in held for warning in one.newest.warnings),
        )
