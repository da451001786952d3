"""One child process: started, watched while one waits for it, stopped by its own id."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

_POLL = 0.01
_STOP = 10.0


class ProcessEnded(Exception):
    """The process ended while somebody waited for it; carries the end of its log."""


class ChildProcess:
    """A program whose output goes to a file; leaving the context ends it.

    Args:
        command: program and arguments.
        log: file for both of its outputs.
        environment: variables beside those of this process.
    """

    def __init__(
        self, command: list[str], *, log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.command = command
        self.log = log
        self._environment = {**os.environ, **(environment or {})}
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    @property
    def process(self) -> asyncio.subprocess.Process:
        """The process itself.

        Raises:
            RuntimeError: if it has not been started.
        """
        if self._process is None:
            raise RuntimeError(f"{self.command[0]} is not running: enter its context first")
        return self._process

    async def __aenter__(self) -> Self:
        with self.log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *self.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment,
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self, signal_number: int = signal.SIGTERM) -> int:
        """Ask it to end, insist after a while, and return its exit status."""
        process = self.process
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal_number)
            try:
                async with asyncio.timeout(_STOP):
                    await process.wait()
            except TimeoutError:
                process.kill()
        return await process.wait()

    async def until(
        self, holds: Callable[[], Awaitable[bool]], *, what: str, timeout: float = 20.0
    ) -> None:
        """Poll a condition while the process is alive.

        A leftover program on the same port would answer a probe while the new one has
        died of it, hence both are watched.

        Raises:
            ProcessEnded: if the process ends first.
            TimeoutError: naming the condition and the log.
        """
        deadline = asyncio.get_running_loop().time() + timeout
        while True:
            if self.process.returncode is not None:
                raise ProcessEnded(f"{self._ended()} before {what}\n{self.tail()}")
            if await holds():
                return
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError(f"{what}: not within {timeout} s\n{self.tail()}")
            await asyncio.sleep(_POLL)

    def tail(self, lines: int = 20) -> str:
        """The end of what the program wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _ended(self) -> str:
        return f"{self.command[0]} ended with status {self.process.returncode}"
