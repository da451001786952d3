"""What a hub bears."""

from __future__ import annotations

from attrs import frozen

_MIB = 1 << 20


@frozen(kw_only=True)
class Limits:
    """What a hub bears.

    Attributes:
        streams: more are turned away with RESOURCE_EXHAUSTED.
        writes: writes in flight together; a stalled one no longer counts. Small ones overlap
            best in great numbers, and what large ones hold is limited by their bytes.
        bytes_in_flight: no write starts while so many bytes are in flight.
        stall_after: seconds after which a write counts as stalled.
        kept_bytes: encoded responses that are kept to be shared.
        kept_diffs: differences of two sets that are kept to be shared.
    """

    streams: int = 20_000
    writes: int = 4_096
    bytes_in_flight: int = 128 * _MIB
    stall_after: float = 1.0
    kept_bytes: int = 32 * _MIB
    kept_diffs: int = 64
