"""What the tests share: a runner, recorded payloads, and servers that live in the test."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

HERE = Path(__file__).parent
# The doubles are modules beside the tests; they are not a package.
sys.path.append(str(HERE))
# A busy machine is slow, not wrong.
settings.register_profile("meshregistry-mesos", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("meshregistry-mesos")


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
    """A payload by name: those of Mesos were recorded from 1.11.0."""
    return lambda name: json.loads((HERE / "payloads" / f"{name}.json").read_text("utf-8"))


def pytest_terminal_summary(terminalreporter):
    """Say what was tested on what, so that nobody has to look it up."""
    terminalreporter.write_line(
        "marathon: tested on a double only, since no Marathon can be had; "
        "mesos: on a double here, on a real master by `make integration`"
    )
