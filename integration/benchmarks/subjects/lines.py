"""Lines of the standard input on an asyncio loop."""

from __future__ import annotations

import asyncio
import sys


async def standard_input() -> asyncio.StreamReader:
    """A reader of the input; its end is the driver's sign to leave."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader
