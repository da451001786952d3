"""OTLP over gRPC."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import grpc
import grpc.aio

from meshregistry.mixer.adapters._outbox import Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_SERVICE = "/opentelemetry.proto.collector.{}.v1.{}Service/Export"
_METHODS = {
    "traces": _SERVICE.format("trace", "Trace"),
    "metrics": _SERVICE.format("metrics", "Metrics"),
    "logs": _SERVICE.format("logs", "Logs"),
}
_AGAIN = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
"""Codes after which the same request may be sent again (OTLP, section OTLP/gRPC Response)."""


class GrpcSender:
    """Sends over one channel, which connects again by itself.

    Args:
        endpoint: ``http://host:port`` without encryption, ``https://host:port`` with it.
        ca_file: certificates of those who may vouch for it; None: those of the system.
    """

    def __init__(self, endpoint: str, ca_file: Path | None) -> None:
        self._endpoint = urlsplit(endpoint)
        self._ca_file = ca_file
        self._channel: grpc.aio.Channel | None = None

    async def export(self, signal: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        """Send one; see `Sender`."""
        if self._channel is None:
            self._channel = self._connect()
        call: Any = self._channel.unary_unary(
            _METHODS[signal],
            request_serializer=_as_it_is,
            response_deserializer=_as_it_is,
        )
        metadata = tuple((name.lower(), value) for name, value in headers.items())
        try:
            answer: bytes = await call(body, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            kind = Unavailable if error.code() in _AGAIN else Refused
            raise kind(f"{error.code().name}: {error.details()}") from error
        return answer

    async def close(self) -> None:
        """Close the channel."""
        if self._channel is not None:
            await self._channel.close(None)

    def _connect(self) -> grpc.aio.Channel:
        if self._endpoint.scheme == "https":
            roots = None if self._ca_file is None else self._ca_file.read_bytes()
            credentials = grpc.ssl_channel_credentials(roots)
            return grpc.aio.secure_channel(self._endpoint.netloc, credentials)
        return grpc.aio.insecure_channel(self._endpoint.netloc)


def _as_it_is(body: bytes) -> bytes:
    return body
