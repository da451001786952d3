"""What the tests share: a runner, recorded payloads, and a Consul that lives in the test."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from meshregistry import testing

HERE = Path(__file__).parent
# The double is a module beside the tests; they are not a package.
sys.path.append(str(HERE))


@pytest.fixture(scope="session")
def run_async():
    """Runs a coroutine on a loop of its own; a leaked task, an unhandled error, a hang fail."""
    return testing.run_async


@pytest.fixture(scope="session")
def payload():
    """A payload recorded from Consul 1.16.1, by name."""
    return lambda name: json.loads((HERE / "payloads" / f"{name}.json").read_text("utf-8"))


@pytest.fixture
def tls_file(tmp_path):
    """A certificate of 127.0.0.1 that signs itself, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "consul")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=key.public_key(),
        serial_number=1,
        not_valid_before=now - timedelta(days=1),
        not_valid_after=now + timedelta(days=1),
    )
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    basic = x509.BasicConstraints(ca=True, path_length=None)
    signed = builder.add_extension(names, critical=False).add_extension(basic, critical=True)
    text = signed.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    text += key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = tmp_path / "tls.pem"
    path.write_bytes(text)
    return path
