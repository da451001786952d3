"""Who is told what happens to streams."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from meshregistry.ads import Acked, Nacked
from meshregistry.server._stream import Stream


def _ignore(*_: object) -> None:
    """Observe nothing."""


@frozen(kw_only=True)
class Observers:
    """Who is told what happens to streams.

    They are called on the loop and must not block. One that raises is logged and counted,
    and harms no stream.

    Attributes:
        opened: a stream was identified and let in.
        closed: it has ended, for this reason.
        acked: its client has accepted a response.
        nacked: its client has refused a response.
    """

    opened: Callable[[Stream], object] = _ignore
    closed: Callable[[Stream, str], object] = _ignore
    acked: Callable[[Stream, Acked], object] = _ignore
    nacked: Callable[[Stream, Nacked], object] = _ignore
