"""Certificates of the client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from meshregistry.errors import ConfigError
from meshregistry.mixer.client._extra import grpc
from meshregistry.pem import Pem, PemSources, shown

if TYPE_CHECKING:
    from meshregistry.pem import Material


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
    key: Pem | None = field(default=None, repr=shown)
    server_name: str | None = None

    def __attrs_post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ConfigError(
                "a certificate needs its key, and a key its certificate",
                field="tls.key" if self.key is None else "tls.certificate",
                remedy="give both or neither",
            )


def sources(tls: MixerTls) -> PemSources:
    """Where the client's certificates are read from."""
    return PemSources(certificate=tls.certificate, key=tls.key, roots=tls.ca)


def credentials(found: Material) -> grpc.ChannelCredentials:
    """What was read, for gRPC."""
    return grpc.ssl_channel_credentials(found.roots, found.key, found.certificate)
