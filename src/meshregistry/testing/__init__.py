"""For tests of adapters and of programs that embed meshregistry."""

from meshregistry.testing._fakes import (
    FakeContext,
    ManualClock,
    RecordingSink,
    SinkCall,
    context,
)
from meshregistry.testing._peers import AdsPeer

__all__ = [
    "AdsPeer",
    "FakeContext",
    "ManualClock",
    "RecordingSink",
    "SinkCall",
    "context",
]
