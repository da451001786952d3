"""TLS towards a backend: whom it trusts, and what it shows."""

from __future__ import annotations

import datetime as dt
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from meshregistry.spi import tls_context


@pytest.fixture
def folder(tmp_path):
    """With a certificate that signs itself, its key, and both in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mesh")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    own = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (tmp_path / "cert.pem").write_bytes(certificate)
    (tmp_path / "key.pem").write_bytes(own)
    (tmp_path / "both.pem").write_bytes(own + certificate)
    return tmp_path


class TestTrust:
    def test_servers_are_checked_unless_told_otherwise(self, tmp_path):
        """Certificate and name."""
        careful, careless = tls_context(tmp_path), tls_context(tmp_path, verify=False)
        assert (ssl.CERT_REQUIRED, True) == (careful.verify_mode, careful.check_hostname)
        assert (ssl.CERT_NONE, False) == (careless.verify_mode, careless.check_hostname)

    def test_an_authority_is_below_the_base_path(self, folder):
        """It alone is trusted."""
        trusted = tls_context(folder, ca_file=Path("cert.pem")).get_ca_certs()
        assert [((("commonName", "mesh"),),)] == [one["subject"] for one in trusted]


class TestOwn:
    @pytest.mark.parametrize("files", [("cert.pem", "key.pem"), ("both.pem", None)])
    def test_the_key_may_be_in_the_same_file(self, folder, files):
        """Or in one of its own."""
        cert_file, key_file = (name and Path(name) for name in files)
        assert tls_context(folder, cert_file=cert_file, key_file=key_file)

    def test_a_certificate_without_its_key_is_refused(self, folder):
        """By name of the fault, for the adapter to say which option it is."""
        with pytest.raises(ssl.SSLError):
            tls_context(folder, cert_file=Path("cert.pem"))

    def test_a_key_with_a_passphrase_is_refused(self, locked):
        """Nobody is asked for it at the terminal, where everything would wait."""
        code = (
            "import ssl\n"
            "from pathlib import Path\n"
            "from meshregistry.spi import tls_context\n"
            "try:\n"
            "    tls_context(Path(), cert_file=Path('cert.pem'), key_file=Path('key.pem'))\n"
            "except ssl.SSLError:\n"
            "    print('refused')\n"
        )
        assert locked(code) == "refused\n"

    @pytest.mark.parametrize("option", ["ca_file", "cert_file"])
    def test_a_file_that_is_not_there_is_told(self, tmp_path, option):
        """As Python tells it."""
        with pytest.raises(FileNotFoundError):
            tls_context(tmp_path, **{option: Path("absent.pem")})
