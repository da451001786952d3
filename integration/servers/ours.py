"""Our servers as anybody would start them, in processes of their own."""

from __future__ import annotations

import contextlib
import re
import sys
from typing import TYPE_CHECKING

from servers.process import ChildProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

_READY = re.compile(r"ready: .*$", re.MULTILINE)


def serving(
    program: Path, settings: Path, *, log: Path
) -> AbstractAsyncContextManager[dict[str, str]]:
    """Run ``meshregistry serve``; gives the addresses of its ready line, by listener.

    Args:
        program: the command ``meshregistry`` of some environment.
        settings: the settings file.
        log: where its log goes.
    """
    return _serving([str(program), "serve", "-c", str(settings)], log)


def serving_mixer(*words: str, log: Path) -> AbstractAsyncContextManager[dict[str, str]]:
    """Run ``meshregistry mixer serve`` of this environment, with these options, likewise."""
    return _serving([sys.executable, "-m", "meshregistry", "mixer", "serve", *words], log)


@contextlib.asynccontextmanager
async def _serving(command: list[str], log: Path) -> AsyncIterator[dict[str, str]]:
    """Serve until the context is left."""
    async with ChildProcess(command, log=log) as process:

        async def is_ready() -> bool:
            return _READY.search(log.read_text(errors="replace")) is not None

        await process.until(is_ready, what="the ready line")
        lines = _READY.findall(log.read_text(errors="replace"))
        yield dict(word.split("=", 1) for word in lines[-1].split() if "=" in word)
        status = await process.stop()
        if status != 0:
            raise RuntimeError(f"serve ended with status {status} after SIGTERM\n{process.tail()}")
        said = log.read_text(errors="replace")
        if "Traceback" in said:
            raise RuntimeError(f"serve logged an exception of its own\n{said}")
