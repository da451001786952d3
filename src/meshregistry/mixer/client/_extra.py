"""Everything foreign that the client needs, imported in one place."""

from __future__ import annotations

from meshregistry.errors import MissingExtraError

try:
    import grpc
    import grpc.aio
    from google.protobuf.message import DecodeError
except ModuleNotFoundError as error:
    raise MissingExtraError("mixer", error.name or "grpcio") from error

__all__ = ["DecodeError", "grpc"]
