"""Certificates and keys as PEM: read from files, checked, and read again when they change."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from attrs import field, frozen

from meshregistry.errors import ConfigError

if TYPE_CHECKING:
    from logging import Logger

__all__ = ["Material", "Pem", "PemRenewal", "PemSources", "shown"]

Pem = bytes | str | Path
"""A file, or PEM text as bytes."""

# What OpenSSL says of a key of another certificate: of the same kind, and of another kind.
_OF_ANOTHER = ("KEY_VALUES_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
_OPEN_FILES = "/proc/self/fd"
# Asked is whether certificate and key belong together, not whether they are strong enough.
_ANY_STRENGTH = "DEFAULT:@SECLEVEL=0"


def shown(value: Pem | None) -> str:
    """A key for ``repr``: the name of its file, but not its text."""
    return "***" if isinstance(value, bytes) else repr(value)


@frozen(kw_only=True)
class Material:
    """What was read, as PEM text; None: not asked for."""

    certificate: bytes | None
    key: bytes | None = field(repr=False)
    roots: bytes | None

    @property
    def pair(self) -> tuple[bytes, bytes]:
        """Key and certificate, of a side that has to have them."""
        if self.key is None or self.certificate is None:
            raise ValueError("there is no pair: give the sources a certificate and a key")
        return self.key, self.certificate


@frozen
class _Content:
    """What one source held at one time: text, or why it could not be read."""

    name: str
    source: Pem | None
    text: bytes | None = None
    fault: str = ""

    def error(self, reason: str, remedy: str) -> ConfigError:
        file = None if isinstance(self.source, bytes) else str(self.source)
        return ConfigError(reason, file=file, field=f"tls.{self.name}", remedy=remedy)


@frozen(kw_only=True)
class PemSources:
    """Where a side of TLS has its certificates from.

    Attributes:
        certificate: of this side, with what leads to the root.
        key: its private key, without a passphrase.
        roots: whom the other side's certificate has to lead to.
        roots_field: what the roots are called in errors.
    """

    certificate: Pem | None = None
    key: Pem | None = field(default=None, repr=shown)
    roots: Pem | None = None
    roots_field: str = "ca"

    def read(self) -> Material:
        """All that was asked for.

        Raises:
            ConfigError: if a file cannot be read or holds something else, or the key is not
                that of the certificate; names the file, the field and the remedy.
        """
        return _material(_contents(self))


class PemRenewal:
    """Follows the sources: what could be used last stays until there is something better.

    May be asked by several threads.

    Args:
        sources: where to read.
        logger: hears of renewed certificates, and of changes that cannot be used, each once.

    Raises:
        ConfigError: as `PemSources.read`, for what is there at first.
    """

    def __init__(self, sources: PemSources, logger: Logger) -> None:
        self._sources = sources
        self._logger = logger
        self._lock = Lock()
        self._seen = _contents(sources)
        self.current = _material(self._seen)
        """The last that could be used."""

    def renewed(self) -> Material | None:
        """Look at the sources again; None: go on with `current`."""
        with self._lock:
            found = _contents(self._sources)
            if found == self._seen:
                return None
            self._seen = found
            try:
                material = _material(found)
            except ConfigError as error:
                self._logger.warning("the certificates in use stay: %s", error)
                return None
            if material == self.current:
                return None
            self.current = material
        self._logger.info("certificates were renewed: %s", self._sources)
        return material


def _contents(sources: PemSources) -> tuple[_Content, _Content, _Content]:
    return (
        _content("certificate", sources.certificate),
        _content("key", sources.key),
        _content(sources.roots_field, sources.roots),
    )


def _content(name: str, source: Pem | None) -> _Content:
    if source is None or isinstance(source, bytes):
        return _Content(name, source, source)
    try:
        return _Content(name, source, Path(source).read_bytes())
    except OSError as error:
        return _Content(name, source, None, error.strerror or str(error))


def _material(contents: tuple[_Content, _Content, _Content]) -> Material:
    for content in contents:
        if content.fault:
            raise content.error(f"it cannot be read: {content.fault}", "give a readable PEM file")
        if content.text is not None and b"-----BEGIN " not in content.text:
            raise content.error("it is not PEM", "give text with -----BEGIN … and -----END … lines")
    certificate, key, roots = contents
    for content in (certificate, roots):
        _check_certificates(content)
    _check_pair(certificate, key)
    return Material(certificate=certificate.text, key=key.text, roots=roots.text)


def _check_certificates(content: _Content) -> None:
    if content.text is None:
        return
    # Between its blocks a file may say in any encoding whose certificates they are.
    text = content.text.decode("ascii", "ignore")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError) as error:
        raise content.error(
            "there is no whole certificate in it", "give a file of PEM certificates"
        ) from error


def _check_pair(certificate: _Content, key: _Content) -> None:
    if certificate.text is None or key.text is None or not hasattr(os, "memfd_create"):
        return
    try:
        memory = os.memfd_create("pem")
    except OSError:
        # A kernel may be told to refuse it.
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers(_ANY_STRENGTH)
    # Python reads keys from files only. This one is in memory: no disk ever has the key.
    with os.fdopen(memory, "wb") as file:
        file.write(certificate.text + b"\n" + key.text)
        file.flush()
        try:
            # Without a password here, OpenSSL would ask whoever sits at the terminal.
            context.load_cert_chain(f"{_OPEN_FILES}/{memory}", password="")
        except ssl.SSLError as error:
            if error.reason in _OF_ANOTHER:
                raise key.error(
                    "it is not the key of tls.certificate", "renew both files together"
                ) from error
            raise key.error(
                "there is no private key in it that can be used",
                "give a whole one as PEM, without a passphrase",
            ) from error
        except OSError:
            # Where there is no /proc, or it is closed, whoever uses the pair has to find out.
            return
