"""A threaded pilot and a real fork: the child is told at once, the parent goes on."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os, warnings
from meshregistry import Pilot, ServiceRecord, Settings

warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads is the point
settings = Settings.from_dict({"sources": [{"id": "mine", "kind": "memory"}]})
with Pilot.in_thread(settings, serve=False) as pilot:
    pilot.synced(timeout=10)
    child = os.fork()
    if not child:
        try:
            pilot.published(timeout=10)
        except RuntimeError as error:
            os._exit(7 if "start one in each worker process" in str(error) else 1)
        os._exit(2)
    _, status = os.waitpid(child, 0)
    pilot.memory("mine").upsert(ServiceRecord.parse("a.b", port=80))
    pilot.published(timeout=10)
    print(os.waitstatus_to_exitcode(status), len(pilot.catalog))
"""


def test_after_a_fork_every_method_raises_in_the_child():
    """Rather than wait for a thread that is not there."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False
    )
    assert ("7 1\n", "") == (done.stdout, done.stderr)
