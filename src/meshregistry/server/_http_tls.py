"""Certificates of HTTP listeners, read again when their files change."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


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
        OSError: if a file cannot be read, or is no certificate or key (``ssl.SSLError``).
    """
    paths = (certificate, key) if client_ca is None else (certificate, key, client_ca)

    def load() -> ssl.SSLContext:
        return _loaded(certificate, key, client_ca, is_client_needed)

    current = load()
    seen = _changed(*paths)

    def renew(connection: ssl.SSLObject, _name: str | None, _: ssl.SSLContext) -> None:
        nonlocal current, seen
        try:
            now = _changed(*paths)
            if now != seen:
                current, seen = load(), now
        except OSError:
            # Half-written: the next connection tries again, this one has the old ones.
            return
        connection.context = current

    first = load()
    first.sni_callback = renew
    return first


def _loaded(
    certificate: Path, key: Path, client_ca: Path | None, is_client_needed: bool
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED if is_client_needed else ssl.CERT_OPTIONAL
    return context


def _changed(*paths: Path) -> tuple[int, ...]:
    return tuple(path.stat().st_mtime_ns for path in paths)
