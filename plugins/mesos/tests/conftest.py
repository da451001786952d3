"""What the tests share: a runner, recorded payloads, and servers that live in the test."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from meshregistry import testing

HERE = Path(__file__).parent
# The doubles are modules beside the tests; they are not a package.
sys.path.append(str(HERE))
# A busy machine is slow, not wrong.
settings.register_profile("meshregistry-mesos", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("meshregistry-mesos")


@pytest.fixture(scope="session")
def run_async():
    """Runs a coroutine on a loop of its own; a leaked task, an unhandled error, a hang fail."""
    return testing.run_async


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
