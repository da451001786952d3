"""Ports of the loopback interface that nobody uses."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHARES = 8
_TRIES = 200


def _share() -> Iterator[int]:
    """The ports of this process in an order of its own, without end.

    They lie below the range from which Linux serves port 0 and outgoing connections (32768
    and up): else any other program could be given one before ours has bound it. Processes
    that test side by side take theirs from different shares, for the same reason.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    number = int(worker) if worker else os.getpid()
    share = list(range(20_000, 32_000)[number % _SHARES :: _SHARES])
    random.shuffle(share)
    return itertools.cycle(share)


_NEXT = _share()


def free_port() -> int:
    """A TCP port that was free a moment ago, for programs that cannot report a chosen one.

    None is given twice, until all have been: a server may take seconds to bind its own.

    Raises:
        OSError: if no port of many tried is free.
    """
    for port in itertools.islice(_NEXT, _TRIES):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError(f"none of {_TRIES} ports is free: stop what uses them")
