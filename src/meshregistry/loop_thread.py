"""An event loop in a thread of its own, for programs of threads."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Future

__all__ = ["LoopLeft", "LoopThread"]

T = TypeVar("T")


class LoopLeft(RuntimeError):
    """The loop is not running, or no longer."""


class LoopThread:
    """Runs coroutines for other threads.

    Args:
        owner: what the loop is for, as errors call it, such as ``the client``.
        name: of the thread.
    """

    def __init__(self, owner: str, name: str) -> None:
        self._owner = owner
        self._name = name
        # Whoever holds it submits to a loop that will still run what was submitted.
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        """Whether it was started, and not stopped since."""
        return self._loop is not None

    def start(self) -> None:
        """Start the thread; it ends with the process if nobody stops it."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name=self._name, daemon=True)
        thread.start()
        with self._lock:
            self._loop, self._thread = loop, thread

    def run(self, coroutine: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """What a coroutine returns or raises on the loop; blocks until then.

        Raises:
            LoopLeft: if the loop is not running, or is stopped meanwhile.
            RuntimeError: on the loop's own thread.
            TimeoutError: after so many seconds; the coroutine is cancelled.
        """
        try:
            future = self._submit(coroutine)
        except BaseException:  # whatever it is, the coroutine is never run
            coroutine.close()
            raise
        try:
            return future.result(timeout)
        except CancelledError:
            raise LoopLeft(f"{self._owner} was left while this call was waiting") from None
        except BaseException:  # whoever waits no longer ends the call
            future.cancel()
            raise

    def call_soon(self, function: Callable[..., object], *arguments: object) -> None:
        """Call something on the loop, without waiting for it.

        Raises:
            LoopLeft: if the loop is not running.
        """
        with self._lock:
            self._running().call_soon_threadsafe(function, *arguments)

    def stop(self) -> None:
        """Cancel what other threads still wait for, and end the thread; nothing the second time."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(_end_rest(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    def _submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        with self._lock:
            loop = self._running()
            if threading.current_thread() is self._thread:
                raise RuntimeError(
                    f"this is the thread of {self._owner}, and would wait for itself"
                )
            return asyncio.run_coroutine_threadsafe(coroutine, loop)

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise LoopLeft(f"{self._owner} is not running; use it within `with`")
        return self._loop


async def _end_rest() -> None:
    """Cancel the calls of other threads that still wait, and end the loop's own threads."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    loop = asyncio.get_running_loop()
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()
