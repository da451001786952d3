"""Spans of any tracing system: their ids, and which of them are kept."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from meshregistry.mixer.spi import TraceSpan

_TRACE = re.compile(r"[0-9a-f]{16}|[0-9a-f]{32}")
_SPAN = re.compile(r"[0-9a-f]{16}")
_OTHER = 0x3F6A2EC3C810C2AB
"""By it the id of a client's span is made another than that of the server's, as the original does."""


@frozen
class Ids:
    """The ids of a span, in hexadecimal digits; `parent` is empty for the first of a trace."""

    trace: str
    span: str
    parent: str


def ids_of(instance: TraceSpan) -> Ids | None:
    """The ids of a span; None without usable ones.

    Client and server of one call report one span id. With ``rewriteClientSpanId`` the client's
    is made another, which becomes the parent of the server's.
    """
    trace, span = instance.trace_id.lower(), instance.span_id.lower()
    parent = instance.parent_span_id.lower()
    if not _TRACE.fullmatch(trace) or not _SPAN.fullmatch(span):
        return None
    if not int(trace, 16) or not int(span, 16):
        return None
    if not _SPAN.fullmatch(parent) or not int(parent, 16):
        parent = ""
    if instance.rewrite_client_span_id:
        other = f"{int(span, 16) ^ _OTHER:016x}"
        if instance.client_span:
            span = other
        else:
            parent = other
    return Ids(trace, span, parent)


def is_sampled(trace: str, probability: float) -> bool:
    """Whether a trace is kept: the same for all of its spans, here and on other servers.

    It goes by the lower half of the trace id, which is random also where the upper one is not.
    """
    return int(trace[-16:], 16) >> 1 < probability * (1 << 63)
