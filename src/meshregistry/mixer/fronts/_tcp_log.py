"""A connection in Envoy's access log (v3) as the attributes of reports.

Envoy says how many bytes there were in all; a report also says how many of them are new. For
that the last totals of open connections are remembered. Pure.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from attrs import frozen

from meshregistry.mixer import vocabulary as v
from meshregistry.mixer.fronts._extra import accesslog_pb2
from meshregistry.mixer.fronts._log_common import begun, elapsed
from meshregistry.mixer.fronts._reading import size_of, socket_ip, time_of

if TYPE_CHECKING:
    from datetime import datetime

    from meshregistry.mixer import AttributeBag
    from meshregistry.mixer.fronts._reporter import Reporter

OPEN, CONTINUE, CLOSE = "open", "continue", "close"
# Entries of the start: of newer Envoys before there is an upstream (not in our messages yet).
_STARTS = frozenset({accesslog_pb2.TcpUpstreamConnected, 14})


@frozen
class _Total:
    received: int = 0
    sent: int = 0


class Connections:
    """Knows open connections by proxy and stream.

    Args:
        size: how many are remembered; the one that was reported longest ago is forgotten.
        began: when this was made. What a connection that is older had transferred before is not
            known, and not reported once more as new.
    """

    def __init__(self, size: int, began: datetime) -> None:
        self._size = size
        self._began = began
        self._totals: OrderedDict[tuple[str, str], _Total] = OrderedDict()

    def __len__(self) -> int:
        return len(self._totals)

    def bag(
        self, entry: Any, reporter: Reporter, wall_time: datetime
    ) -> tuple[AttributeBag, tuple[str, ...]]:
        """The attributes of a ``TCPAccessLogEntry``, and what was stated in vain.

        Args:
            entry: what is logged.
            reporter: whose log it is.
            wall_time: of the report.
        """
        common, sizes = entry.common_properties, entry.connection_properties
        builder, said = begun(common, reporter)
        now = _Total(size_of(sizes.received_bytes) or 0, size_of(sizes.sent_bytes) or 0)
        event, new = self._advanced((reporter.node_id, common.stream_id), common, now)
        builder.set(v.CONTEXT_PROTOCOL, "tcp").set(v.CONTEXT_TIME, wall_time)
        builder.set(v.CONNECTION_EVENT, event).set(v.CONNECTION_ID, common.stream_id or None)
        builder.set(v.SOURCE_IP, socket_ip(_remote(common)))
        builder.set(v.CONNECTION_RECEIVED_BYTES, new.received)
        builder.set(v.CONNECTION_SENT_BYTES, new.sent)
        builder.set(v.CONNECTION_RECEIVED_BYTES_TOTAL, now.received)
        builder.set(v.CONNECTION_SENT_BYTES_TOTAL, now.sent)
        if event == CLOSE:
            builder.set(v.CONNECTION_DURATION, elapsed(common))
        return builder.build(), said.refused

    def _advanced(self, key: tuple[str, str], common: Any, now: _Total) -> tuple[str, _Total]:
        """What happened to a connection, and what of its bytes is new."""
        kind = common.access_log_type
        last = self._totals.pop(key, None)
        is_known = last is not None
        if last is None:
            start = time_of(common.start_time)
            is_older = start is not None and start < self._began and kind not in _STARTS
            last = now if is_older else _Total()
        new = _Total(max(now.received - last.received, 0), max(now.sent - last.sent, 0))
        is_going_on = kind in _STARTS or kind == accesslog_pb2.TcpPeriodic
        if not is_going_on and not common.intermediate_log_entry:
            return CLOSE, new
        event = OPEN if kind in _STARTS and not is_known else CONTINUE
        if not key[1]:
            # Which connection it is nobody says: the entry of its end tells of all bytes.
            return event, _Total()
        self._totals[key] = now
        if len(self._totals) > self._size:
            self._totals.popitem(last=False)
        return event, new


def _remote(common: Any) -> Any:
    if common.HasField("downstream_direct_remote_address"):
        return common.downstream_direct_remote_address
    return common.downstream_remote_address
