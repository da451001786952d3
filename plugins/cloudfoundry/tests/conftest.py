"""What the tests share: a runner, and doubles of NATS and of the Cloud Controller."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from meshregistry import testing

HERE = Path(__file__).parent
# The doubles are modules beside the tests; they are not a package.
sys.path.append(str(HERE))


@pytest.fixture(scope="session")
def run_async():
    """Runs a coroutine on a loop of its own; a leaked task, an unhandled error, a hang fail."""
    return testing.run_async
