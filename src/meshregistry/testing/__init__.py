"""For tests of adapters and of programs that embed meshregistry."""

from meshregistry.testing._fakes import (
    FakeContext,
    ManualClock,
    RecordingSink,
    SinkCall,
    context,
)

__all__ = [
    "FakeContext",
    "ManualClock",
    "RecordingSink",
    "SinkCall",
    "context",
]
