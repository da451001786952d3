"""Everything foreign that the fronts need, imported in one place."""

from __future__ import annotations

from meshregistry.errors import MissingExtraError

try:
    import grpc
    import grpc.aio
    from envoy.config.core.v3 import address_pb2, base_pb2
    from envoy.data.accesslog.v3 import accesslog_pb2
    from envoy.service.accesslog.v3 import als_pb2
    from envoy.service.auth.v3 import external_auth_pb2
    from envoy.service.ratelimit.v3 import rls_pb2
    from google.protobuf import json_format, struct_pb2, wrappers_pb2
    from google.protobuf.message import DecodeError
except ModuleNotFoundError as error:
    raise MissingExtraError("mixer-server", error.name or "xds-protos") from error

__all__ = [
    "DecodeError",
    "accesslog_pb2",
    "address_pb2",
    "als_pb2",
    "base_pb2",
    "external_auth_pb2",
    "grpc",
    "json_format",
    "rls_pb2",
    "struct_pb2",
    "wrappers_pb2",
]
