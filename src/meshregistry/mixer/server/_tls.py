"""Certificates of the server's port."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from attrs import frozen

from meshregistry.errors import ConfigError, MissingExtraError

try:
    import grpc
except ModuleNotFoundError as error:
    raise MissingExtraError("mixer-server", error.name or "grpcio") from error

if TYPE_CHECKING:
    from collections.abc import Callable


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
        ConfigError: if a file cannot be read.
    """
    seen = _read(tls)

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal seen
        try:
            found = _read(tls)
        except ConfigError:
            # The certificate in use stays until there is another one.
            return None
        if found == seen:
            return None
        seen = found
        return _configuration(found)

    # None means that nothing has changed, which the stubs do not know.
    fetch = cast("Callable[[], grpc.ServerCertificateConfiguration]", renewed)
    return grpc.dynamic_ssl_server_credentials(
        _configuration(seen), fetch, require_client_authentication=tls.client_ca is not None
    )


def _read(tls: MixerServerTls) -> tuple[bytes, bytes, bytes | None]:
    return (
        _content(tls.certificate),
        _content(tls.key),
        None if tls.client_ca is None else _content(tls.client_ca),
    )


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"cannot be read: {error.strerror or error}",
            file=str(path),
            remedy="name a readable PEM file",
        ) from error


def _configuration(found: tuple[bytes, bytes, bytes | None]) -> grpc.ServerCertificateConfiguration:
    certificate, key, roots = found
    return grpc.ssl_server_certificate_configuration([(key, certificate)], roots)
