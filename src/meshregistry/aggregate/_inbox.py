"""The way onto the loop: calls from any thread, carried out there in order."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Inbox:
    """Carries out calls on the loop.

    A call from the loop's own thread is carried out before `post` returns, after all that
    other threads have posted by then. So calls of one thread keep their order, and so do
    calls of several threads of which one waited for the other.

    Args:
        failed: is told what a call raised; the calls after it are carried out.
    """

    def __init__(self, failed: Callable[[BaseException], None]) -> None:
        self._failed = failed
        self._lock = threading.Lock()
        self._calls: deque[Callable[[], None]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._is_scheduled = False
        self._is_draining = False

    def open(self) -> None:
        """Accept calls, to be carried out on the running loop."""
        self._thread = threading.get_ident()
        self._loop = asyncio.get_running_loop()

    def close(self) -> None:
        """Carry out what has been posted, and accept nothing more."""
        self.drain()
        with self._lock:
            self._loop = None
            self._calls.clear()

    def post(self, call: Callable[[], None]) -> bool:
        """Have this carried out; False if the loop is not there any more."""
        is_here = threading.get_ident() == self._thread
        with self._lock:
            loop = self._loop
            if loop is None or loop.is_closed():
                return False
            self._calls.append(call)
            if not is_here and not self._is_scheduled:
                try:
                    loop.call_soon_threadsafe(self.drain)
                except RuntimeError:
                    # Closed since the question: the loop's end races with its threads.
                    self._calls.clear()
                    return False
                self._is_scheduled = True
        if is_here:
            self.drain()
        return True

    def drain(self) -> None:
        """Carry out everything that was posted before this; to be called on the loop.

        What is posted meanwhile waits for a later turn of the loop, so that busy threads
        cannot hold it up.
        """
        if self._is_draining:
            self._schedule_again()
            return
        self._is_draining = True
        try:
            with self._lock:
                self._is_scheduled = False
                count = len(self._calls)
            for _ in range(count):
                with self._lock:
                    call = self._calls.popleft()
                try:
                    call()
                except Exception as error:  # noqa: BLE001 - handed over whole: a fault of the core must not reach an adapter
                    self._failed(error)
        finally:
            self._is_draining = False

    def _schedule_again(self) -> None:
        """A call that is being carried out has posted another one."""
        with self._lock:
            if self._loop is not None and not self._is_scheduled:
                self._loop.call_soon(self.drain)
                self._is_scheduled = True
