"""A pilot with one source in a process of its own: says what it costs, then idles.

Started with settings as JSON and the number of endpoints to wait for; prints one line of
JSON when its catalog is complete, and ends when its input does.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from typing import Any

from meshregistry import Pilot, Settings
from servers.lines import resident_kib

_LIMIT = 120.0
_SETTLED = 2.0


async def main(settings: dict[str, Any], endpoints: int) -> None:
    """Synchronise, measure, idle."""
    began = time.perf_counter()
    async with Pilot(Settings.from_dict(settings)) as pilot:
        async with asyncio.timeout(_LIMIT):
            await pilot.synced()
            while sum(len(entry.endpoints) for entry in pilot.catalog) < endpoints:
                await asyncio.sleep(0.02)
        took = time.perf_counter() - began
        # What the first listing left behind is gone then.
        await asyncio.sleep(_SETTLED)
        gc.collect()
        resident = resident_kib(os.getpid())
        print(json.dumps({"seconds": took, "resident": resident}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1]), int(sys.argv[2])))
