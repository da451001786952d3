"""One round of following files: read, compare, convert. Blocking; runs in a thread."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import watchfiles
from attrs import frozen

from meshregistry.registries._file_scan import EMPTY, Scanner

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Mapping, Sequence

_SUFFIXES = frozenset({".yaml", ".yml", ".json"})
_READY_AFTER = 200
_QUIET = 50


L_co = TypeVar("L_co", covariant=True)
L = TypeVar("L")


class Contents(Protocol[L_co]):
    """Takes what is in files, and says what they say together."""

    def put(self, file: str, content: bytes) -> None:
        """Take a new version of a file."""

    def unreadable(self, file: str, reason: str) -> None:
        """Note that a file is there and cannot be read."""

    def drop(self, file: str) -> None:
        """Forget a file that is gone."""

    def listing(self) -> L_co:
        """What all files say."""


@frozen
class Round(Generic[L]):
    """The outcome of one round.

    Attributes:
        listing: what all files say; None if nothing has changed, or it is too early to tell.
        deadline: when to look again because a file is missed.
        folders: what to watch, with identities that change when a folder is replaced.
        missing: why the path as a whole cannot be listed; None if it can.
    """

    folders: tuple[tuple[Path, int], ...]
    listing: L | None = None
    deadline: float | None = None
    missing: str | None = None


class Follower(Generic[L]):
    """Follows a file, or the documents of a folder, round by round.

    Args:
        path: the file or folder.
        documents: takes the contents.
        shown: the name of a file in messages.
    """

    def __init__(
        self, path: Path, documents: Contents[L], shown: Callable[[Path], str] = str
    ) -> None:
        self._path = path
        self._documents = documents
        self._shown = shown
        self._scanner = Scanner()
        self._was_file = False
        self._has_listed = False

    def round(self, now: float) -> Round[L]:
        """Look once.

        A folder that is not there, or a file that was never seen, is a failed look and
        says nothing about services; a file that was there is gone when it is missed twice.
        """
        # First, so that what comes between is noticed as another folder to watch.
        folders = tuple(watched_folders(self._path))
        try:
            contents = self._read()
        except FileNotFoundError:
            return Round(folders, missing=f"there is no file or folder {self._shown(self._path)}")
        except OSError as error:
            reason = error.strerror or str(error)
            return Round(folders, missing=f"{self._shown(self._path)} cannot be listed: {reason}")
        return Round(folders, *self._compared(now, contents))

    def _compared(
        self, now: float, contents: Mapping[str, bytes | OSError]
    ) -> tuple[L | None, float | None]:
        listing = {file: _digest(content) for file, content in contents.items()}
        changes = self._scanner.observe(now, listing)
        for file in changes.gone:
            self._documents.drop(file)
        for file in changes.changed:
            content = contents[file]
            if isinstance(content, bytes):
                self._documents.put(file, content)
            else:
                self._documents.unreadable(file, content.strerror or str(content))
        deadline = self._scanner.deadline
        # An empty file at the very first sight may be one that is just being written.
        is_news = bool(changes) if self._has_listed else deadline is None
        if not is_news:
            return None, deadline
        self._has_listed = True
        return self._documents.listing(), deadline

    def _read(self) -> dict[str, bytes | OSError]:
        """The files and what is in them, or why that cannot be said.

        Raises:
            OSError: if they cannot be listed.
        """
        try:
            files = document_files(self._path)
        except FileNotFoundError:
            if not (self._was_file and self._path.parent.is_dir()):
                raise
            return {}
        self._was_file = files == [self._path]
        contents: dict[str, bytes | OSError] = {}
        for file in files:
            try:
                contents[self._shown(file)] = file.read_bytes()
            except FileNotFoundError:
                continue  # it went between the listing and now
            except OSError as error:
                contents[self._shown(file)] = error
        return contents


def document_files(path: Path) -> list[Path]:
    """The file itself, or the documents of the folder, sorted.

    Raises:
        OSError: if there is neither, or the folder cannot be listed.
    """
    if not path.is_dir():
        path.stat()
        return [path]
    return sorted(
        file
        for file in path.iterdir()
        if file.suffix in _SUFFIXES and not file.name.startswith(".") and not file.is_dir()
    )


def _digest(content: bytes | OSError) -> str:
    if isinstance(content, OSError):
        return f"unreadable: {content}"
    if not content.strip():
        return EMPTY
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def watched_folders(path: Path) -> Iterable[tuple[Path, int]]:
    """The nearest existing parent folder, the folder itself, and where links lead to.

    The parent tells of renames and of the swap of a ``..data`` link, as Kubernetes updates
    a mounted ConfigMap.
    """
    found: dict[Path, int] = {}
    for place in dict.fromkeys((path, path.resolve())):
        folder = next((parent for parent in place.parents if parent.is_dir()), None)
        for one in (folder, place if place.is_dir() else None):
            if one is not None:
                found[one] = one.stat().st_ino
    return found.items()


def watch(
    folders: Sequence[Path], path: Path, hint: Callable[[], None], stop: threading.Event
) -> None:
    """Call `hint` after each burst of events that may concern `path`, until `stop` is set.

    Also once when the watch is in place, since what happened before that was not seen.
    """
    targets = tuple(dict.fromkeys((str(path), str(path.resolve()))))

    def concerns(_change: watchfiles.Change, changed: str) -> bool:
        name = changed.rpartition("/")[2]
        return name.startswith("..") or any(
            changed == target
            or changed.startswith(f"{target}/")
            or target.startswith(f"{changed}/")
            for target in targets
        )

    is_ready = False
    for changes in watchfiles.watch(
        *folders,
        watch_filter=concerns,
        step=_QUIET,
        stop_event=stop,
        rust_timeout=_READY_AFTER,
        yield_on_timeout=True,
        recursive=False,
    ):
        if changes or not is_ready:
            is_ready = True
            hint()
