"""The serving shell: sets of resources in, xDS streams out; and what people read over HTTP.

`XdsServer` serves resources of the caller's own. A program that derives resources uses a
`Hub` (groups, streams, fan-out; knows no transport) and a `GrpcListener` on it.
"""

from meshregistry.exposition import MetricsCollector
from meshregistry.server._acknowledgement import acknowledged
from meshregistry.server._admin import admin_routes, document_route, probe_routes
from meshregistry.server._fanout import LoopClock, TimerHandle
from meshregistry.server._grpc import GrpcLimits, GrpcListener, discovery_handlers, drain
from meshregistry.server._holding import Holders
from meshregistry.server._http import HttpListeners
from meshregistry.server._http_tls import renewing_context
from meshregistry.server._hub import Hub
from meshregistry.server._items import resource_of
from meshregistry.server._limits import Limits
from meshregistry.server._observers import Observers
from meshregistry.server._registration import Caller, Refusal, registration_routes
from meshregistry.server._reports import (
    Assignment,
    HubStatistics,
    ProxyStatus,
    StreamStatus,
)
from meshregistry.server._stream import Stream, Transport
from meshregistry.server._tls import ServerTls
from meshregistry.server._webhook import webhook_routes
from meshregistry.server._xds_server import XdsServer

__all__ = [
    "Assignment",
    "Caller",
    "GrpcLimits",
    "GrpcListener",
    "Holders",
    "HttpListeners",
    "Hub",
    "HubStatistics",
    "Limits",
    "LoopClock",
    "MetricsCollector",
    "Observers",
    "ProxyStatus",
    "Refusal",
    "ServerTls",
    "Stream",
    "StreamStatus",
    "TimerHandle",
    "Transport",
    "XdsServer",
    "acknowledged",
    "admin_routes",
    "discovery_handlers",
    "document_route",
    "drain",
    "probe_routes",
    "registration_routes",
    "renewing_context",
    "resource_of",
    "webhook_routes",
]
