"""Ports of the loopback interface that nobody uses."""

from __future__ import annotations

import socket


def free_port() -> int:
    """A TCP port that was free a moment ago, for programs that cannot report a chosen one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
