"""Ports of the loopback interface that nobody uses."""

from __future__ import annotations

import contextlib
import random
import socket

_PORTS = range(20_000, 32_000)
_TRIES = 200


def free_port() -> int:
    """A TCP port that was free a moment ago, for programs that cannot report a chosen one.

    It lies below the range from which Linux serves port 0 and outgoing connections (32768
    and up): else any other program could be given it before ours has bound it.

    Raises:
        OSError: if no port of many tried is free.
    """
    for port in random.sample(_PORTS, _TRIES):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError(f"none of {_TRIES} ports from {_PORTS[0]} on is free: stop what uses them")
