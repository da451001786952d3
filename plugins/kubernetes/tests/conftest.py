"""What the tests share: a runner, recorded payloads, and the double beside them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from meshregistry import testing

HERE = Path(__file__).parent
# The double is a module beside the tests; they are not a package.
sys.path.append(str(HERE))


@pytest.fixture(scope="session")
def run_async():
    """Runs a coroutine on a loop of its own; a leaked task, an unhandled error, a hang fail."""
    return testing.run_async


@pytest.fixture(scope="session")
def payload():
    """The items of a listing recorded from kube-apiserver 1.36.2."""
    return lambda name: json.loads((HERE / "payloads" / f"{name}.json").read_text("utf-8"))["items"]
