"""What the tests share: a runner, recorded payloads, and a Eureka that lives in the test."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# The double is a module beside the tests; they are not a package.
sys.path.append(str(HERE))


@pytest.fixture(scope="session")
def run_async():
    """Runs a coroutine on a loop of its own; a hang or a task left behind fails."""

    async def bounded(main):
        async with asyncio.timeout(20):
            result = await main
        # The double's connections need a moment to notice that they are closed.
        for _ in range(100):
            left = asyncio.all_tasks() - {asyncio.current_task()}
            if not left:
                break
            await asyncio.sleep(0.001)
        assert not left, f"tasks left behind: {left}"
        return result

    return lambda main: asyncio.run(bounded(main))


@pytest.fixture(scope="session")
def payload():
    """A payload recorded from Spring Cloud Netflix Eureka 4.3.1, by name."""
    return lambda name: json.loads((HERE / "payloads" / f"{name}.json").read_text("utf-8"))
