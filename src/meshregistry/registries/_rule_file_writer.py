"""Operators' decisions as files in the folder that a rule source watches."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from meshregistry.errors import ConfigError, RegistryUnavailable

if TYPE_CHECKING:
    from meshregistry.registries._file_loop import FileConfig
    from meshregistry.spi import OutgoingDocument, RuleContext


class RuleFileWriter:
    """Writes one file for each document (`spi.RuleWriter`).

    Args:
        config: of the rule source.
        context: what the core gives.

    Raises:
        ConfigError: if the rule source is a single file, which is its owner's.
    """

    def __init__(self, config: FileConfig, context: RuleContext) -> None:
        self._context = context
        self._folder = context.base_path / config.path
        if not self._folder.is_dir():
            raise ConfigError(
                f"{self._folder} is not a folder, so no file can be added to it",
                field="path",
                remedy="make it a folder, or name another rule source with --to",
            )

    async def put(self, document: OutgoingDocument) -> str:
        """Write the file; whoever reads it sees the former version or all of this one."""
        path = self._folder / document.place
        await self._context.in_thread(_replace, path, document.text)
        return str(path)

    async def delete(self, document: OutgoingDocument) -> bool:
        """Remove the file."""
        return await self._context.in_thread(_remove, self._folder / document.place)


def _replace(path: Path, text: str) -> None:
    try:
        # Watchers know documents by their suffix, so that they do not see the draft.
        number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        draft = Path(name)
        try:
            with os.fdopen(number, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            # As any other file of the folder: it is no secret of this user's.
            draft.chmod(0o644)
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _unwritable(path, error) from error


def _remove(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _unwritable(path, error) from error
    return True


def _unwritable(path: Path, error: OSError) -> RegistryUnavailable:
    reason = error.strerror or str(error)
    return RegistryUnavailable(f"{path} cannot be written: {reason}; check its permissions")
