"""free_port: a port of the loopback interface that nobody uses, and nobody is given."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_RANGE = range(20_000, 32_000)
_SHARES = 8
_TRIES = 200


def _share() -> Iterator[int]:
    """The ports of this process in an order of its own, without end.

    Processes that test side by side take theirs from different shares.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    number = int(worker) if worker else os.getpid()
    share = list(_RANGE[number % _SHARES :: _SHARES])
    random.shuffle(share)
    return itertools.cycle(share)


# What a process has given it knows only by itself: the one state that must outlive a call.
_NEXT = _share()


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago, and stays so for whom it is given to.

    For a server that is to come back at the same port after an outage, or that cannot report
    the one it has chosen. It lies below the range from which Linux serves port 0 and outgoing
    connections (32768 and up, ``net.ipv4.ip_local_port_range``): a port from that range can be
    given to any other program as soon as the server has let go of it. None is given twice
    until all have been, for a server may take seconds to bind its own.

    Raises:
        OSError: if no port of many tried is free.
    """
    for port in itertools.islice(_NEXT, _TRIES):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    msg = f"none of {_TRIES} ports is free: stop what uses them"
    raise OSError(msg)
