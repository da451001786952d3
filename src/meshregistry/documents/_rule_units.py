"""Routing documents as they come: a file, a key or an object holds one, or several.

What a place holds is parsed as a whole (`RuleUnit`), in whatever thread; what all places of
a rule source say together is a `RuleListing`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from meshregistry.documents._nodes import (
    AnyNode,
    Document,
    MappingNode,
    ScalarNode,
    SequenceNode,
    from_plain,
)
from meshregistry.documents._parse import decode, parse
from meshregistry.documents._rule_documents import DocumentKey, RuleDocument, rule_document
from meshregistry.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@frozen
class RuleUnit:
    """What one place of a rule source holds.

    Attributes:
        name: of the place: a file's path, a key, an object's path. It stands in messages.
        documents: each whole, and of one key once.
        faults: of what cannot even be named.
        is_whole: whether nothing in it hides a document that was well formed before.
    """

    name: str
    documents: tuple[RuleDocument, ...] = ()
    faults: tuple[ConfigError, ...] = ()
    is_whole: bool = True

    @classmethod
    def of_text(cls, name: str, content: bytes | str) -> RuleUnit:
        """Parse YAML or JSON; one broken document leaves the others. Never raises.

        What stands in a document of kind ``List``, as kubectl prints it, counts as if it stood
        alone.
        """
        try:
            text = content if isinstance(content, str) else decode(content, file=name)
            parsed = parse(text, file=name)
        except ConfigError as error:
            parsed = (error,)
        return _unit(name, parsed)

    @classmethod
    def of_object(cls, name: str, value: Mapping[str, Any]) -> RuleUnit:
        """Take an object that is parsed already, such as a custom resource. Never raises."""
        try:
            root = from_plain(value, file=name)
        except ConfigError as error:
            return _unit(name, (error,))
        return _unit(name, (Document(file=name, index=0, root=root),))

    @classmethod
    def unreadable(cls, name: str, reason: str, remedy: str) -> RuleUnit:
        """A place that is there and cannot be read: what it held before is kept."""
        fault = ConfigError(f"cannot be read: {reason}", file=name, remedy=remedy)
        return cls(name, faults=(fault,), is_whole=False)


def _unit(name: str, parsed: Iterable[Document | ConfigError]) -> RuleUnit:
    documents: dict[DocumentKey, RuleDocument] = {}
    faults: list[ConfigError] = []
    is_whole = True
    for one in parsed:
        if isinstance(one, ConfigError):
            faults += one.faults
            is_whole = False
            continue
        for root in _listed(one.root):
            try:
                document = rule_document(root)
            except ConfigError as error:
                faults += error.faults
                is_whole = False
                continue
            first = documents.setdefault(document.key, document)
            if first is not document:
                faults.append(_twice(document, first))
    return RuleUnit(name, tuple(documents.values()), tuple(faults), is_whole)


def _listed(root: AnyNode) -> Iterable[AnyNode]:
    """The documents of a list, or the one that it is."""
    if isinstance(root, MappingNode):
        kind, items = root.get("kind"), root.get("items")
        if isinstance(kind, ScalarNode) and kind.text == "List" and isinstance(items, SequenceNode):
            return items.items
    return (root,)


@frozen
class RuleListing:
    """What all places of a rule source say together.

    Attributes:
        documents: in order of places and lines; of two with one key the first counts.
        faults: what cannot be named, in the same order.
        is_whole: whether nothing hides a document that was well formed before.
    """

    documents: tuple[RuleDocument, ...]
    faults: tuple[ConfigError, ...]
    is_whole: bool


def nothing_in(place: str) -> ConfigError:
    """A file or folder without any document, as a warning: most often another one is meant."""
    return ConfigError(
        "there is no document in it",
        file=place,
        remedy="name a file with documents, or a folder of .yaml, .yml or .json files",
    )


class RuleUnits:
    """The places of a rule source.

    A document that is broken cannot be named: then all that its place said before, and
    does not say now, is kept.
    """

    def __init__(self) -> None:
        self._units: dict[str, RuleUnit] = {}

    def restore(self, documents: Iterable[RuleDocument]) -> None:
        """Take what places said before, to an earlier run or process; each stands in its place."""
        places: dict[str, list[RuleDocument]] = {}
        for document in documents:
            places.setdefault(document.root.file, []).append(document)
        self._units = {name: RuleUnit(name, tuple(said)) for name, said in places.items()}

    def replace(self, units: Iterable[RuleUnit]) -> None:
        """Take all places; what is not among them is gone."""
        former, self._units = self._units, {}
        for unit in units:
            self._units[unit.name] = _kept(former.get(unit.name), unit)

    def put(self, unit: RuleUnit) -> None:
        """Take a new version of a place."""
        self._units[unit.name] = _kept(self._units.get(unit.name), unit)

    def remove(self, name: str) -> None:
        """Forget a place that is gone."""
        self._units.pop(name, None)

    def listing(self) -> RuleListing:
        """What all places say."""
        documents: dict[DocumentKey, RuleDocument] = {}
        faults: list[ConfigError] = []
        for _, unit in sorted(self._units.items()):
            faults += unit.faults
            for document in unit.documents:
                first = documents.setdefault(document.key, document)
                if first is not document:
                    faults.append(_twice(document, first))
        is_whole = all(unit.is_whole or unit.documents for unit in self._units.values())
        return RuleListing(tuple(documents.values()), tuple(faults), is_whole)


def _kept(former: RuleUnit | None, unit: RuleUnit) -> RuleUnit:
    if unit.is_whole or former is None:
        return unit
    said = {document.key for document in unit.documents}
    kept = (document for document in former.documents if document.key not in said)
    return evolve(unit, documents=(*unit.documents, *kept))


def _twice(document: RuleDocument, first: RuleDocument) -> ConfigError:
    line = first.root.line
    place = first.root.file if line is None else f"{first.root.file}:{line}"
    return document.root.fault(f"{document.key} is written in {place} already", "keep one of them")
