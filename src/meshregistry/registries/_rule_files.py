"""Routing documents in a file or folder, followed as they change."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from meshregistry.documents import RuleListing, RuleUnit, RuleUnits
from meshregistry.errors import ConfigError, RegistryUnavailable
from meshregistry.registries._file_follow import document_files, watch
from meshregistry.registries._file_loop import FileConfig, FileLoop, Watch

if TYPE_CHECKING:
    from pathlib import Path

    from meshregistry.registries._file_follow import Round
    from meshregistry.spi import RuleContext, RuleSink

_UNREADABLE = "check its permissions"


class RuleFileContents:
    """What is in each file."""

    def __init__(self) -> None:
        self._units: dict[str, RuleUnit] = {}

    def put(self, file: str, content: bytes) -> None:
        """Take a new version of a file."""
        self._units[file] = RuleUnit.of_text(file, content)

    def unreadable(self, file: str, reason: str) -> None:
        """Note that a file is there and cannot be read."""
        self._units[file] = RuleUnit.unreadable(file, reason, _UNREADABLE)

    def drop(self, file: str) -> None:
        """Forget a file that is gone."""
        self._units.pop(file, None)

    def listing(self) -> tuple[RuleUnit, ...]:
        """Every file."""
        return tuple(self._units.values())


class RuleFiles:
    """Follows routing documents in files (`spi.RuleSource`); see `FileLoop`.

    Args:
        config: what the user wrote.
        context: what the core gives.
        watch: a blocking function that calls back after changes, for tests.
    """

    def __init__(self, config: FileConfig, context: RuleContext, *, watch: Watch = watch) -> None:
        self._loop = FileLoop(config, context, watch=watch)

    async def run(self, sink: RuleSink) -> None:
        """Follow until cancelled."""
        await self._loop.follow(RuleFileContents(), partial(_publish, sink))


async def _publish(sink: RuleSink, done: Round[tuple[RuleUnit, ...]]) -> None:
    if done.missing is not None:
        sink.degrade(RegistryUnavailable(f"{done.missing}; make it, or correct path:"))
    elif done.listing is not None:
        sink.replace(done.listing)


def rule_documents(path: Path) -> RuleListing:
    """The routing documents of a file or folder, without following anything."""
    units = RuleUnits()
    try:
        files = document_files(path)
    except OSError as error:
        reason = error.strerror or str(error)
        fault = ConfigError(f"cannot be read: {reason}", file=str(path), remedy="correct the path")
        return RuleListing((), (fault,), is_whole=False)
    for file in files:
        try:
            units.put(RuleUnit.of_text(str(file), file.read_bytes()))
        except OSError as error:
            reason = error.strerror or str(error)
            units.put(RuleUnit.unreadable(str(file), reason, _UNREADABLE))
    return units.listing()
