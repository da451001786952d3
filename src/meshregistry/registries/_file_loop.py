"""Following files on the loop: hints, rounds in a thread, pauses between them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from attrs import frozen

from meshregistry.registries._file_follow import Contents, Follower, Round, watch

if TYPE_CHECKING:
    from meshregistry.spi import RegistryContext

L = TypeVar("L")
Watch = Callable[[Sequence[Path], Path, Callable[[], None], threading.Event], None]

_RESCAN = 30.0
_POLL = 2.0
_LATER = 0.01


@frozen(kw_only=True)
class FileConfig:
    """Options of the kind ``file``.

    Attributes:
        path: a document file, or a folder of ``*.yaml``, ``*.yml`` and ``*.json`` files.
        watch: ``poll`` for file systems that tell of no changes, such as network shares.
    """

    path: Path
    watch: Literal["auto", "poll"] = "auto"


class FileLoop:
    """Follows the contents of files, round by round.

    An event of the file system is only a hint; the hash of a file's content decides. All
    is looked at again every 30 s (with ``watch: poll`` every 2 s).

    A document that is broken keeps its last good version and is reported; so is a folder
    that is missing, while all that is known stays.

    Args:
        config: what the user wrote.
        context: what the core gives.
        watch: a blocking function that calls back after changes, for tests.
    """

    def __init__(
        self, config: FileConfig, context: RegistryContext, *, watch: Watch = watch
    ) -> None:
        self._path = context.base_path / config.path
        self._is_polling = config.watch == "poll"
        self._context = context
        self._watch = watch
        self._hinted = asyncio.Event()
        self._watching: asyncio.Future[None] | None = None
        self._stop = threading.Event()
        self._folders: tuple[tuple[Path, int], ...] = ()
        self._is_failing = False
        self._complaint = ""

    async def follow(
        self, contents: Contents[L], publish: Callable[[Round[L]], Awaitable[None]]
    ) -> None:
        """Follow until cancelled.

        Args:
            contents: takes what is in the files.
            publish: is given the outcome of each round, on the loop.
        """
        follower = Follower(self._path, contents, self._shown)
        try:
            while True:
                self._hinted.clear()
                done = await self._context.in_thread(follower.round, self._context.clock.now())
                self._follow(done.folders)
                await publish(done)
                await self._pause(done.deadline)
        finally:
            self._unfollow()

    def _shown(self, path: Path) -> str:
        """A file's name in messages: as the user would write it in the settings."""
        base = self._context.base_path
        return str(path.relative_to(base) if path.is_relative_to(base) else path)

    async def _pause(self, deadline: float | None) -> None:
        """Wait for a hint, for `deadline`, or until it is time to look anyway."""
        seconds = _POLL if self._is_polling or self._is_failing else _RESCAN
        if deadline is not None:
            # A little later, so that rounding of the clock cannot make it too early.
            seconds = min(seconds, max(deadline - self._context.clock.now(), 0) + _LATER)
        hinted = asyncio.create_task(self._hinted.wait())
        slept = asyncio.create_task(self._context.clock.sleep(seconds))
        try:
            await asyncio.wait((hinted, slept), return_when=asyncio.FIRST_COMPLETED)
        finally:
            hinted.cancel()
            slept.cancel()

    def _follow(self, folders: tuple[tuple[Path, int], ...]) -> None:
        """Watch these folders from now on."""
        if self._is_polling or folders == self._folders:
            return
        self._unfollow()
        self._folders = folders
        self._stop = threading.Event()
        loop = asyncio.get_running_loop()

        def hint() -> None:
            # A loop that has been closed refuses; nobody waits there any more.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._hint)

        self._watching = asyncio.ensure_future(  # noqa: RUF006 - the attribute is the reference
            self._context.in_thread(
                self._watch, [folder for folder, _ in folders], self._path, hint, self._stop
            )
        )
        self._watching.add_done_callback(self._unwatched)

    def _hint(self) -> None:
        self._is_failing = False
        self._hinted.set()

    def _unfollow(self) -> None:
        self._stop.set()
        if self._watching is not None:
            self._watching.remove_done_callback(self._unwatched)
            self._watching.cancel()
            self._watching = None

    def _unwatched(self, watching: asyncio.Future[None]) -> None:
        """A watch has ended by itself: look more often, and try to watch again each time."""
        self._watching = None
        self._folders = ()
        if watching.cancelled():
            return
        if not self._is_failing:
            self._is_failing = True
            self._hinted.set()
        reason = str(watching.exception() or "the watch has ended")
        if reason != self._complaint:
            self._complaint = reason
            self._context.logger.warning(
                "changes of %s are not told (%s): looking every %g s; "
                "set watch: poll if the file system tells of none",
                self._path,
                reason,
                _POLL,
            )
