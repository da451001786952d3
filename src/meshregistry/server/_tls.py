"""Certificates of the xDS listener, read again when their files change."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, cast

from attrs import field, frozen

from meshregistry.errors import ConfigError
from meshregistry.server._extra import grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Pem = bytes | str | Path

_LOG = logging.getLogger("meshregistry.server")
_ALTERNATIVE_NAME = "x509_subject_alternative_name"


@frozen(kw_only=True)
class ServerTls:
    """What the server shows to its clients, and asks of them.

    Each is a file, which is looked at again before every handshake, or PEM text as bytes.

    Attributes:
        certificate: the server's certificate and what leads from it to the root.
        key: its private key.
        client_ca: roots of client certificates; with it, clients without a certificate
            that leads to one of them are refused. None: clients are not asked.
    """

    certificate: Pem
    key: Pem = field(repr=lambda value: "***" if isinstance(value, bytes) else repr(value))
    client_ca: Pem | None = None


def server_credentials(tls: ServerTls) -> grpc.ServerCredentials:
    """Credentials for gRPC that follow the files.

    Raises:
        ConfigError: if a file cannot be read, or what is in it is not a usable pair.
    """
    current = _read(tls)

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        # Called by gRPC, on a thread of its own, before each handshake.
        nonlocal current
        try:
            found = _read(tls)
            if found == current:
                return None
            configuration = _configuration(*found)
        except ConfigError as error:
            _LOG.warning("the certificate in use stays: %s", error)
            return None
        current = found
        _LOG.info("the certificate was renewed from %s", tls.certificate)
        return configuration

    return grpc.dynamic_ssl_server_credentials(
        _configuration(*current),
        # The stubs do not know that None means no change.
        cast("Callable[[], grpc.ServerCertificateConfiguration]", renewed),
        require_client_authentication=tls.client_ca is not None,
    )


def identities(auth_context: Mapping[str, object]) -> tuple[str, ...]:
    """The verified names of a peer's certificate: URIs (SPIFFE ids) and DNS names."""
    names = auth_context.get(_ALTERNATIVE_NAME, ())
    if not isinstance(names, (list, tuple)):
        return ()
    return tuple(name.decode() for name in names if isinstance(name, bytes))


def _read(tls: ServerTls) -> tuple[bytes, bytes, bytes | None]:
    authority = tls.client_ca
    return (
        _pem("certificate", tls.certificate),
        _pem("key", tls.key),
        None if authority is None else _pem("client_ca", authority),
    )


def _pem(name: str, source: Pem) -> bytes:
    if isinstance(source, bytes):
        content = source
    else:
        try:
            content = Path(source).read_bytes()
        except OSError as error:
            raise ConfigError(
                f"the {name} cannot be read: {error.strerror}",
                file=str(source),
                field=f"tls.{name}",
                remedy="give a readable PEM file",
            ) from error
    if b"-----BEGIN " not in content:
        raise ConfigError(
            f"the {name} is not PEM",
            file=None if isinstance(source, bytes) else str(source),
            field=f"tls.{name}",
            remedy="give text with -----BEGIN … and -----END … lines",
        )
    return content


def _configuration(
    certificate: bytes, key: bytes, client_ca: bytes | None
) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(key, certificate)], root_certificates=client_ca
    )
