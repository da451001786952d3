"""Routing documents in a file or folder, followed as they change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import Factory, define, frozen

from meshregistry.documents import Document, DocumentKey, RuleDocument, decode, parse, rule_document
from meshregistry.errors import ConfigError
from meshregistry.registries._file_follow import document_files, watch
from meshregistry.registries._file_loop import FileConfig, FileLoop, Watch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from meshregistry.registries._file_follow import Round
    from meshregistry.spi import RegistryContext


@frozen
class RuleListing:
    """What all files say together.

    Attributes:
        documents: in order of files and lines; of two with one key the first counts.
        faults: what cannot be named, in the same order.
        is_whole: whether nothing hides a document that was well formed before.
    """

    documents: tuple[RuleDocument, ...]
    faults: tuple[ConfigError, ...]
    is_whole: bool


@define
class _File:
    documents: dict[DocumentKey, RuleDocument] = Factory(dict)
    faults: tuple[ConfigError, ...] = ()
    is_whole: bool = True


class RuleContents:
    """The routing documents of some files.

    A document that is broken cannot be named: then all that its file said before, and does
    not say now, is kept.
    """

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}

    def put(self, file: str, content: bytes) -> None:
        """Take a new version of a file."""
        documents: dict[DocumentKey, RuleDocument] = {}
        faults: list[ConfigError] = []
        is_whole = True
        try:
            parsed = parse(decode(content, file=file), file=file)
        except ConfigError as error:
            parsed = (error,)
        for one in parsed:
            try:
                document = rule_document(one.root) if isinstance(one, Document) else None
            except ConfigError as error:
                faults += error.faults
                is_whole = False
                continue
            if isinstance(one, ConfigError):
                faults += one.faults
                is_whole = False
            elif document is not None:
                first = documents.setdefault(document.key, document)
                if first is not document:
                    faults.append(_twice(document, first))
        former = self._files.get(file, _File())
        kept = {} if is_whole else former.documents
        self._files[file] = _File({**kept, **documents}, tuple(faults), is_whole)

    def unreadable(self, file: str, reason: str) -> None:
        """Note that a file is there and cannot be read: all that it said is kept."""
        state = self._files.setdefault(file, _File())
        fault = ConfigError(
            f"the file cannot be read: {reason}", file=file, remedy="check its permissions"
        )
        state.faults, state.is_whole = (fault,), False

    def drop(self, file: str) -> None:
        """Forget a file that is gone."""
        self._files.pop(file, None)

    def listing(self) -> RuleListing:
        """What all files say."""
        documents: dict[DocumentKey, RuleDocument] = {}
        faults: list[ConfigError] = []
        for _, state in sorted(self._files.items()):
            faults += state.faults
            for key, document in state.documents.items():
                first = documents.setdefault(key, document)
                if first is not document:
                    faults.append(_twice(document, first))
        is_whole = all(state.is_whole for state in self._files.values())
        return RuleListing(tuple(documents.values()), tuple(faults), is_whole)


def _twice(document: RuleDocument, first: RuleDocument) -> ConfigError:
    place = f"{first.root.file}:{first.root.line}"
    return document.root.fault(f"{document.key} is written in {place} already", "keep one of them")


class RuleFiles:
    """Follows routing documents in files; see `FileLoop`.

    Args:
        config: what the user wrote.
        context: what the core gives.
        watch: a blocking function that calls back after changes, for tests.
    """

    def __init__(
        self, config: FileConfig, context: RegistryContext, *, watch: Watch = watch
    ) -> None:
        self._loop = FileLoop(config, context, watch=watch)

    async def run(self, publish: Callable[[Round[RuleListing]], None]) -> None:
        """Follow until cancelled; `publish` is given the outcome of each round."""
        await self._loop.follow(RuleContents(), publish)


def rule_documents(path: Path) -> RuleListing:
    """The routing documents of a file or folder, without following anything."""
    contents = RuleContents()
    try:
        files = document_files(path)
    except OSError as error:
        reason = error.strerror or str(error)
        fault = ConfigError(f"cannot be read: {reason}", file=str(path), remedy="correct the path")
        return RuleListing((), (fault,), is_whole=False)
    for file in files:
        try:
            contents.put(str(file), file.read_bytes())
        except OSError as error:
            contents.unreadable(str(file), error.strerror or str(error))
    return contents.listing()
