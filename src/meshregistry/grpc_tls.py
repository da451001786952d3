"""What gRPC servers show to their clients, read again when its files change."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from meshregistry.errors import MissingExtraError
from meshregistry.pem import Material, PemRenewal, PemSources

try:
    import grpc
except ModuleNotFoundError as error:
    raise MissingExtraError("server", error.name or "grpcio", "mixer-server") from error

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from meshregistry.pem import Pem

__all__ = ["following_credentials"]


def following_credentials(
    certificate: Pem, key: Pem, client_ca: Pem | None, log: logging.Logger
) -> grpc.ServerCredentials:
    """Credentials for gRPC that follow the files, looked at before every handshake.

    Args:
        certificate: of the server, with what leads to the root.
        key: its private key.
        client_ca: roots of client certificates; with it, clients without such a certificate
            are refused.
        log: told of files that are no longer usable.

    Raises:
        ConfigError: if a file cannot be read, or what is in it is not a usable pair.
    """
    sources = PemSources(certificate=certificate, key=key, roots=client_ca, roots_field="client_ca")
    renewal = PemRenewal(sources, log)

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        # Called by gRPC, on a thread of its own, before each handshake.
        found = renewal.renewed()
        return None if found is None else _configuration(found)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(renewal.current),
        # The stubs do not know that None means no change.
        cast("Callable[[], grpc.ServerCertificateConfiguration]", renewed),
        require_client_authentication=client_ca is not None,
    )


def _configuration(found: Material) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([found.pair], found.roots)
