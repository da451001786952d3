"""The agent of the how-to page on machines runs as it stands."""

from __future__ import annotations

import asyncio
import re
import threading
from pathlib import Path

from meshregistry import Pilot, Settings

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "machines.md"
MACHINE = {"host": "reviews.shop.mesh.local", "address": "10.0.0.1", "port": 8080, "ttl": "1s"}


def test_the_agent_of_the_page_keeps_a_machine_registered(run_async):
    """Over several lifetimes; when it is told to stop, it takes the machine out."""
    (program,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    names = {"__name__": "agent"}
    exec(compile(program, str(PAGE), "exec"), names)
    settings = Settings.from_dict(
        {
            "sources": [{"id": "mine", "kind": "memory"}],
            "server": {
                "xds": "127.0.0.1:0",
                "registration": {"source": "mine", "tokens": [{"token": "s3cret"}]},
            },
        }
    )

    async def main():
        async with Pilot(settings) as pilot:
            memory = pilot.memory("mine")

            async def until(number):
                async with asyncio.timeout(10):
                    while len(memory.records()) != number:  # noqa: ASYNC110 - a thread writes
                        await asyncio.sleep(0.005)

            stop = threading.Event()
            call = names["agent"], f"http://{pilot.http_address}", "s3cret", MACHINE, stop
            running = asyncio.ensure_future(asyncio.to_thread(*call))
            await until(1)
            for _ in range(25):
                await asyncio.sleep(0.1)
                assert 1 == len(memory.records())
            stop.set()
            await running
            assert () == memory.records()

    run_async(main())
