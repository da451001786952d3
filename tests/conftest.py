"""What all tests share: a runner that leaves nothing behind, an authority for certificates."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import settings

from meshregistry import testing

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

_T = TypeVar("_T")

# Laws are searched with new examples at the desk and with the same ones in CI; a busy machine
# is slow, not wrong.
settings.register_profile("meshregistry", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("meshregistry")


class RunAsync(Protocol):
    """Runs a coroutine to its end on a loop of its own and returns its result."""

    def __call__(self, main: Coroutine[Any, Any, _T], *, timeout: float = 30.0) -> _T: ...


@pytest.fixture(scope="session")
def run_async() -> RunAsync:
    """``run_async(coroutine)``: its result; a leaked task, an unhandled error, a hang fail.

    A coroutine that nobody awaited fails too: warnings are errors. The runner keeps
    nothing between calls, so one serves the whole session, also under Hypothesis.
    """
    return testing.run_async


_SIGNS = x509.KeyUsage(
    key_cert_sign=True,
    crl_sign=True,
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test root")])
        builder = self._builder(self._name, self._key.public_key())
        # RFC 5280, section 4.2.1: Python from 3.13 on insists on what an authority has to have.
        for extension, critical in (
            (x509.BasicConstraints(ca=True, path_length=None), True),
            (_SIGNS, True),
            (x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), False),
        ):
            builder = builder.add_extension(extension, critical=critical)
        self.root = self._signed(builder)

    def issue(self, name: str, *uris: str) -> tuple[bytes, bytes]:
        """A certificate for a DNS name, and URIs, and its key, as PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        return self.certify(name, key.public_key(), *uris), key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def certify(self, name: str, key: CertificatePublicKeyTypes, *uris: str) -> bytes:
        """A certificate for a key of the caller's, as PEM."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        also = map(x509.UniformResourceIdentifier, uris)
        names = x509.SubjectAlternativeName([x509.DNSName(name), *also])
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = self._builder(subject, key).add_extension(names, critical=False)
        return self._signed(builder.add_extension(issuer, critical=False))

    def _builder(
        self, subject: x509.Name, key: CertificatePublicKeyTypes
    ) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(hours=1))
        )

    def _signed(self, builder: x509.CertificateBuilder) -> bytes:
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="session")
def authority() -> Authority:
    """One authority for all of these tests."""
    return Authority()


@pytest.fixture
def locked(authority: Authority, tmp_path: Path) -> Callable[[str], str]:
    """Runs a program where `cert.pem` is, and `key.pem` with a passphrase; gives its output.

    It has a terminal of its own, at which nobody answers.
    """
    certificate, key = authority.issue("localhost")
    (tmp_path / "cert.pem").write_bytes(certificate)
    (tmp_path / "key.pem").write_bytes(
        serialization.load_pem_private_key(key, None).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"open"),
        )
    )

    def run(code: str) -> str:
        ours, theirs = os.openpty()
        try:
            # The first terminal that the leader of a session opens is that of the session.
            opened = f"import os; os.open({os.ttyname(theirs)!r}, os.O_RDWR)\n"
            done = subprocess.run(
                [sys.executable, "-c", opened + code],
                cwd=tmp_path,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                start_new_session=True,
                timeout=30,
                check=True,
            )
        finally:
            os.close(ours)
            os.close(theirs)
        return done.stdout

    return run
