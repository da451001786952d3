"""Documents of Mixer in files and folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshregistry.documents import RuleListing, RuleUnit, RuleUnits
from meshregistry.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_SUFFIXES = frozenset({".yaml", ".yml", ".json"})
_UNREADABLE = "make it a file that can be read, or take it away"


def unreadable(error: OSError) -> ConfigError:
    """A path of which nothing can be read, as a fault."""
    return ConfigError(
        f"cannot be read: {error.strerror or error}",
        file=str(error.filename),
        remedy="name a readable file or folder",
    )


class ConfigFiles:
    """Reads all documents of some files and folders, again and again.

    A file that cannot be read or parsed keeps what it said before, as far as that is not
    said anew.

    Args:
        paths: files, and folders of YAML and JSON files, looked at with all that is below.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = tuple(paths)
        self._seen: dict[Path, bytes | str] | None = None
        self._units = RuleUnits()

    def read(self) -> RuleListing | None:
        """All documents in the order of their files; None if nothing has changed. Blocks.

        Raises:
            OSError: if a path is not there.
        """
        found: dict[Path, bytes | str] = {}
        for file in self._files():
            try:
                found[file] = file.read_bytes()
            except OSError as error:
                found[file] = error.strerror or str(error)
        if found == self._seen:
            return None
        self._seen = found
        self._units.replace(_unit(file, content) for file, content in found.items())
        return self._units.listing()

    def _files(self) -> Iterator[Path]:
        for path in self._paths:
            if path.is_dir():
                files = (
                    one for one in path.rglob("*") if one.suffix in _SUFFIXES and not one.is_dir()
                )
                # Names that begin with a dot are what Kubernetes and editors keep aside.
                yield from sorted(
                    one
                    for one in files
                    if not any(part.startswith(".") for part in one.relative_to(path).parts)
                )
            else:
                path.stat()
                yield path


def _unit(file: Path, content: bytes | str) -> RuleUnit:
    if isinstance(content, str):
        return RuleUnit.unreadable(str(file), content, _UNREADABLE)
    return RuleUnit.of_text(str(file), content)
