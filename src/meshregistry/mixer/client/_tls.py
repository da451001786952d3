"""Certificates of the client."""

from __future__ import annotations

from pathlib import Path

from attrs import field, frozen

from meshregistry.errors import ConfigError
from meshregistry.mixer.client._extra import grpc

Pem = bytes | str | Path


@frozen(kw_only=True)
class MixerTls:
    """How the client knows its servers, and what it shows to them.

    Each is a file, which is read again after a failed connection, or PEM text as bytes.

    Attributes:
        ca: roots of the servers' certificates; None: those of gRPC.
        certificate: the client's own certificate, for servers that ask.
        key: its private key.
        server_name: the name in the servers' certificates, if it is not that of the address.

    Raises:
        ConfigError: if there is a certificate without a key, or a key without a certificate.
    """

    ca: Pem | None = None
    certificate: Pem | None = None
    key: Pem | None = field(
        default=None, repr=lambda value: "***" if isinstance(value, bytes) else repr(value)
    )
    server_name: str | None = None

    def __attrs_post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ConfigError(
                "a certificate needs its key, and a key its certificate",
                field="tls.key" if self.key is None else "tls.certificate",
                remedy="give both or neither",
            )


Material = tuple[bytes | None, bytes | None, bytes | None]


def material(tls: MixerTls) -> Material:
    """Roots, key and certificate, read from their files.

    Raises:
        ConfigError: if a file cannot be read or is not PEM.
    """
    return _pem("ca", tls.ca), _pem("key", tls.key), _pem("certificate", tls.certificate)


def credentials(read: Material) -> grpc.ChannelCredentials:
    """The same for gRPC."""
    roots, key, chain = read
    return grpc.ssl_channel_credentials(roots, key, chain)


def _pem(name: str, source: Pem | None) -> bytes | None:
    if source is None:
        return None
    if isinstance(source, bytes):
        content = source
    else:
        try:
            content = Path(source).read_bytes()
        except OSError as error:
            raise ConfigError(
                f"it cannot be read: {error.strerror}",
                file=str(source),
                field=f"tls.{name}",
                remedy="give a readable PEM file",
            ) from error
    if b"-----BEGIN " not in content:
        raise ConfigError(
            "it is not PEM",
            file=None if isinstance(source, bytes) else str(source),
            field=f"tls.{name}",
            remedy="give text with -----BEGIN … and -----END … lines",
        )
    return content
