"""Times and durations of messages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration
    from google.protobuf.timestamp_pb2 import Timestamp

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_MICROSECOND = timedelta(microseconds=1)
_NANOS_PER_MICRO = 1_000
_LAST_NANO = 999_999_999
_LONGEST_SECONDS = 315_576_000_000


def write_time(target: Timestamp, value: datetime) -> None:
    """Fill a timestamp of a message."""
    target.seconds, rest = divmod(value - _EPOCH, _SECOND)
    target.nanos = rest // _MICROSECOND * _NANOS_PER_MICRO


def write_duration(target: Duration, value: timedelta) -> None:
    """Fill a duration of a message; seconds and nanoseconds have one sign."""
    seconds, rest = divmod(abs(value), _SECOND)
    sign = -1 if value < timedelta(0) else 1
    target.seconds = sign * seconds
    target.nanos = sign * (rest // _MICROSECOND) * _NANOS_PER_MICRO


def read_time(source: Timestamp) -> datetime | None:
    """The time of a message, cut to microseconds; None if it is out of range."""
    if not 0 <= source.nanos <= _LAST_NANO:
        return None
    try:
        return _EPOCH + timedelta(
            seconds=source.seconds, microseconds=source.nanos // _NANOS_PER_MICRO
        )
    except OverflowError:
        return None


def read_duration(source: Duration) -> timedelta | None:
    """The duration of a message, cut to microseconds; None if it is out of range."""
    seconds, nanos = source.seconds, source.nanos
    is_mixed = (seconds < 0 < nanos) or (nanos < 0 < seconds)
    if is_mixed or abs(nanos) > _LAST_NANO or abs(seconds) > _LONGEST_SECONDS:
        return None
    micros = abs(nanos) // _NANOS_PER_MICRO
    return timedelta(seconds=seconds, microseconds=-micros if nanos < 0 else micros)
