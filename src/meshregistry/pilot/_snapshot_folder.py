"""The files of snapshots: one for each source, written whole or not at all. Blocking.

A file is JSON, line by line: a head that says what it is, then one line for each item, in
order of parts. Writing line by line lets other threads run. Beside the files, a small index
says until when what they hold is known to have been current, so that a registry in which
nothing changes need not be written again and again.
"""

from __future__ import annotations

import json
import os
import threading
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from attrs import Factory, frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

FORMAT = "meshregistry-snapshot"
VERSION = 1
INDEX = "current.json"
_FIRST, _LAST = -1e10, 1e11
"""Times that every calendar has; the clock of a machine may be wrong for a while."""


@frozen(kw_only=True)
class Head:
    """What a file says of itself.

    Attributes:
        what: ``source`` or ``rules``.
        id: of the source.
        origin: names what the source follows.
        written: when, in seconds since the epoch.
    """

    what: str
    id: str
    origin: str
    written: float

    @property
    def file(self) -> str:
        """The name of the file."""
        return file_name(self.what, self.id)


@frozen
class StoredPart:
    """A part of a source in a file.

    Attributes:
        items: records or documents.
        current: when they were last known to be current, in seconds since the epoch.
    """

    items: tuple[Any, ...]
    current: float


class SnapshotError(ValueError):
    """A file is no snapshot that can be used; the text says why."""


def file_name(what: str, source: str) -> str:
    """The name of the file of a source."""
    return f"{what}-{quote(source, safe='')}.jsonl"


@frozen
class SnapshotFolder:
    """The folder of one pilot. Every method may be called from any thread.

    Attributes:
        path: of the folder; it is made when something is written.
    """

    path: Path
    _lock: threading.Lock = Factory(threading.Lock)

    def write(
        self, head: Head, parts: Mapping[str, StoredPart], plain: Callable[[Any], Any]
    ) -> None:
        """Write one file.

        Args:
            head: of the file.
            parts: by name.
            plain: makes JSON of an item.

        Raises:
            OSError: if it cannot be written; what was there is still there.
        """
        first = {
            "format": FORMAT,
            "version": VERSION,
            "what": head.what,
            "id": head.id,
            "origin": head.origin,
            "written": head.written,
            "parts": [
                {"name": name, "current": part.current, "items": len(part.items)}
                for name, part in parts.items()
            ],
        }
        lines = (plain(item) for part in parts.values() for item in part.items)
        with self._lock:
            self._write(head.file, chain([first], lines))

    def write_index(self, current: Mapping[str, Mapping[str, float]]) -> None:
        """Write until when the parts of each file are known to have been current.

        Raises:
            OSError: if it cannot be written.
        """
        with self._lock:
            self._write(INDEX, [{"format": FORMAT, "version": VERSION, "current": current}])

    def read(
        self, what: str, source: str, item: Callable[[Any], Any]
    ) -> tuple[Head, dict[str, StoredPart]] | None:
        """Read the file of a source; None if there is none.

        Args:
            what: ``source`` or ``rules``.
            source: its id.
            item: makes an item of JSON; raises ValueError if it is none.

        Raises:
            SnapshotError: if it cannot be read, is no snapshot, or is damaged.
        """
        path = self.path / file_name(what, source)
        try:
            with path.open(encoding="utf-8") as lines:
                first = json.loads(next(lines, ""))
                _check(first)
                names = {name: first[name] for name in ("what", "id", "origin")}
                head = Head(**names, written=_time(first["written"]))
                found = {
                    part["name"]: StoredPart(
                        tuple(item(json.loads(next(lines, ""))) for _ in range(part["items"])),
                        _time(part["current"]),
                    )
                    for part in first["parts"]
                }
        except FileNotFoundError:
            return None
        except OSError as error:
            msg = f"{path.name} cannot be read: {error.strerror or error}"
            raise SnapshotError(msg) from error
        except SnapshotError as error:
            msg = f"{path.name} {error}"
            raise SnapshotError(msg) from error
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            msg = f"{path.name} is damaged: {error}"
            raise SnapshotError(msg) from error
        if (head.what, head.id) != (what, source):
            msg = f"{path.name} is the one of {head.what} {head.id}"
            raise SnapshotError(msg)
        return head, self._newest(path.name, found)

    def _newest(self, name: str, parts: dict[str, StoredPart]) -> dict[str, StoredPart]:
        """The parts with what the index knows of them; without it, they are older than need be."""
        try:
            index = json.loads((self.path / INDEX).read_text(encoding="utf-8"))
            _check(index)
            times = {part: _time(time) for part, time in index["current"].get(name, {}).items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return parts
        return {
            part: StoredPart(one.items, max(one.current, times.get(part, one.current)))
            for part, one in parts.items()
        }

    def _write(self, name: str, lines: Iterable[Any]) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Of a name of its own, should two processes share the folder for a while.
        new = self.path / f".{name}.{os.getpid()}"
        try:
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor, for its mode
                file.writelines(
                    # In ASCII, since a registry may say what no UTF-8 holds (half a surrogate).
                    json.dumps(line, separators=(",", ":")) + "\n"
                    for line in lines
                )
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.path / name)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
        folder = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _time(value: Any) -> float:
    """Seconds since the epoch.

    Raises:
        ValueError: if it is no moment that a calendar has.
    """
    time = float(value)
    if not _FIRST < time < _LAST:
        msg = f"{value} is no time"
        raise ValueError(msg)
    return time


def _check(first: Any) -> None:
    """Refuse what is something else, or newer.

    Raises:
        SnapshotError: if it is.
    """
    if not isinstance(first, dict) or first.get("format") != FORMAT:
        raise SnapshotError("is no snapshot of ours")
    if first["version"] != VERSION:
        msg = f"has version {first['version']} of the format, and {VERSION} is understood"
        raise SnapshotError(msg)
