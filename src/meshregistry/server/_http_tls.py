"""Certificates of HTTP listeners, read again when their files change."""

from __future__ import annotations

import logging
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING

from meshregistry.pem import PemRenewal, PemSources

if TYPE_CHECKING:
    from pathlib import Path

_LOG = logging.getLogger("meshregistry.server")


def renewing_context(
    certificate: Path,
    key: Path,
    *,
    client_ca: Path | None = None,
    is_client_needed: bool = True,
) -> ssl.SSLContext:
    """A TLS context for a server, which reads its files again when they have changed.

    Args:
        certificate: PEM file, with what leads to the root.
        key: PEM file of the private key.
        client_ca: PEM file of the roots of client certificates; with it, clients are asked
            for one.
        is_client_needed: whether a client without a certificate is refused.

    Raises:
        ConfigError: if a file cannot be read, or what is in it is not a usable pair.
        OSError: if a file has been exchanged for another one meanwhile, and that is none.
    """

    def load() -> ssl.SSLContext:
        return _loaded(certificate, key, client_ca, is_client_needed)

    sources = PemSources(certificate=certificate, key=key, roots=client_ca, roots_field="client_ca")
    # First, since it says what is wrong, and sees every exchange of files from now on.
    renewal = PemRenewal(sources, _LOG)
    current = load()
    is_behind = False

    def renew(connection: ssl.SSLObject, _name: str | None, _: ssl.SSLContext) -> None:
        nonlocal current, is_behind
        if renewal.renewed() is not None:
            is_behind = True
        if is_behind:
            # They may have been exchanged once more by now: the next connection tries again.
            with suppress(OSError):
                current, is_behind = load(), False
        connection.context = current

    first = load()
    first.sni_callback = renew
    return first


def _loaded(
    certificate: Path, key: Path, client_ca: Path | None, is_client_needed: bool
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # Without a password here, OpenSSL would ask whoever sits at the terminal.
    context.load_cert_chain(certificate, key, password="")
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED if is_client_needed else ssl.CERT_OPTIONAL
    return context
