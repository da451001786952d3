"""Asks for the messages of Envoy before anything else of this package does.

Whoever imports `meshregistry.generate` without the extra learns which line to type. The modules
import the messages themselves: there are many, and each needs its own.
"""

from __future__ import annotations

from meshregistry.errors import MissingExtraError

try:
    import envoy.config.cluster.v3.cluster_pb2
    import google.protobuf
except ModuleNotFoundError as error:
    raise MissingExtraError("server", error.name or "xds-protos") from error

__all__ = ["envoy", "google"]
