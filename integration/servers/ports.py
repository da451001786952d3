"""Ports of the loopback interface that nobody uses."""

from __future__ import annotations

import contextlib
import os
import random
import socket

_PORTS = range(20_000, 32_000)
_SHARES = 8
_TRIES = 200


def free_port() -> int:
    """A TCP port that was free a moment ago, for programs that cannot report a chosen one.

    It lies below the range from which Linux serves port 0 and outgoing connections (32768
    and up): else any other program could be given it before ours has bound it. Tests that run
    side by side take theirs from shares of their own, for the same reason.

    Raises:
        OSError: if no port of many tried is free.
    """
    for port in random.sample(_share(), _TRIES):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError(f"none of {_TRIES} ports from {_PORTS[0]} on is free: stop what uses them")


def _share() -> range:
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return _PORTS[worker % _SHARES :: _SHARES]
