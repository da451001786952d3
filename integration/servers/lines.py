"""A child process that answers lines: one question in, one answer out."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

_LIMIT = 1 << 20


class LineProcess:
    """Started on entering; on leaving its input is closed, which ends it.

    Args:
        command: program and arguments.
        environment: variables beside those of this process.
    """

    def __init__(self, *command: str, environment: Mapping[str, str] | None = None) -> None:
        self._command = command
        self._environment = {**os.environ, **(environment or {})}

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=self._environment,
            limit=_LIMIT,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.stdin.close()
            try:
                async with asyncio.timeout(10):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
        await self._process.wait()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def read(self) -> str:
        """The next line that it prints.

        Raises:
            RuntimeError: if it has ended.
        """
        line = await self._process.stdout.readline()
        if not line:
            status = await self._process.wait()
            raise RuntimeError(f"{self._command[0]} ended with status {status}: see its errors")
        return line.decode().rstrip("\n")

    async def ask(self, line: str) -> str:
        """Write one line and return the next one that it prints."""
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()
        return await self.read()


def resident_kib(pid: int) -> int:
    """Resident memory of a process now, in KiB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used so far, user and system."""
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
