"""Certificates of the server's port."""

from __future__ import annotations

import logging
from pathlib import Path

from attrs import frozen

from meshregistry.errors import MissingExtraError

try:
    import grpc  # noqa: TC002 - if it is missing, our extra is named
except ModuleNotFoundError as error:
    raise MissingExtraError("mixer-server", error.name or "grpcio") from error

from meshregistry.grpc_tls import following_credentials

_log = logging.getLogger("meshregistry.mixer")


@frozen(kw_only=True)
class MixerServerTls:
    """PEM files; read again before a handshake when they have changed.

    Attributes:
        certificate: of the server, with what leads to the root.
        key: its private key.
        client_ca: roots of client certificates; with it, clients without such a certificate
            are refused.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None


def credentials(tls: MixerServerTls) -> grpc.ServerCredentials:
    """Credentials for gRPC that follow the files.

    Raises:
        ConfigError: if a file cannot be read, or what is in it is not a usable pair.
    """
    return following_credentials(tls.certificate, tls.key, tls.client_ca, _log)
