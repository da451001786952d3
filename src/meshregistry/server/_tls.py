"""Certificates of the xDS listener, read again when their files change."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from attrs import field, frozen

from meshregistry.grpc_tls import following_credentials
from meshregistry.pem import Pem, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    import grpc


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
    key: Pem = field(repr=shown)
    client_ca: Pem | None = None


def server_credentials(tls: ServerTls) -> grpc.ServerCredentials:
    """Credentials for gRPC that follow the files.

    Raises:
        ConfigError: if a file cannot be read, or what is in it is not a usable pair.
    """
    return following_credentials(tls.certificate, tls.key, tls.client_ca, _LOG)


def identities(auth_context: Mapping[str, object]) -> tuple[str, ...]:
    """The verified names of a peer's certificate: URIs (SPIFFE ids) and DNS names."""
    names = auth_context.get(_ALTERNATIVE_NAME, ())
    if not isinstance(names, (list, tuple)):
        return ()
    return tuple(name.decode() for name in names if isinstance(name, bytes))
