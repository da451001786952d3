"""``meshregistry serve`` as anybody would start it, in a process of its own."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from servers.process import ChildProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

_READY = re.compile(r"ready: .*$", re.MULTILINE)


@contextlib.asynccontextmanager
async def serving(program: Path, settings: Path, *, log: Path) -> AsyncIterator[dict[str, str]]:
    """Serve until the context is left; gives the addresses of its ready line, by listener.

    Args:
        program: the command ``meshregistry`` of some environment.
        settings: the settings file.
        log: where its log goes.
    """
    command = [str(program), "serve", "-c", str(settings)]
    async with ChildProcess(command, log=log) as process:

        async def is_ready() -> bool:
            return _READY.search(log.read_text(errors="replace")) is not None

        await process.until(is_ready, what="the ready line")
        lines = _READY.findall(log.read_text(errors="replace"))
        yield dict(word.split("=", 1) for word in lines[-1].split() if "=" in word)
        status = await process.stop()
        if status != 0:
            raise RuntimeError(f"serve ended with status {status} after SIGTERM\n{process.tail()}")
