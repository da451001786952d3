"""Certificates of the server's port."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, cast

from attrs import frozen

from meshregistry.errors import MissingExtraError
from meshregistry.pem import Material, PemRenewal, PemSources

try:
    import grpc
except ModuleNotFoundError as error:
    raise MissingExtraError("mixer-server", error.name or "grpcio") from error

if TYPE_CHECKING:
    from collections.abc import Callable

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
    sources = PemSources(
        certificate=tls.certificate, key=tls.key, roots=tls.client_ca, roots_field="client_ca"
    )
    renewal = PemRenewal(sources, _log)

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        # Called by gRPC, on a thread of its own, before each handshake.
        found = renewal.renewed()
        return None if found is None else _configuration(found)

    # None means that nothing has changed, which the stubs do not know.
    fetch = cast("Callable[[], grpc.ServerCertificateConfiguration]", renewed)
    return grpc.dynamic_ssl_server_credentials(
        _configuration(renewal.current),
        fetch,
        require_client_authentication=tls.client_ca is not None,
    )


def _configuration(found: Material) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([found.pair], found.roots)
