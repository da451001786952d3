"""For tests of adapters and of programs that embed meshregistry."""

from meshregistry.aggregate import SystemClock
from meshregistry.testing._conformance import RegistryConformance
from meshregistry.testing._conformance_bench import CAPABILITIES
from meshregistry.testing._fakes import (
    FakeContext,
    ManualClock,
    RecordingSink,
    SinkCall,
    context,
)
from meshregistry.testing._loops import run_async
from meshregistry.testing._peers import AdsPeer
from meshregistry.testing._ports import free_port
from meshregistry.testing._tcp_proxy import TcpProxy

__all__ = [
    "CAPABILITIES",
    "AdsPeer",
    "FakeContext",
    "ManualClock",
    "RecordingSink",
    "RegistryConformance",
    "SinkCall",
    "SystemClock",
    "TcpProxy",
    "context",
    "free_port",
    "run_async",
]
