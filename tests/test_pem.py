"""Certificates and keys: read, checked, followed."""

from __future__ import annotations

import errno
import logging
import os

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from meshregistry import pem
from meshregistry.errors import ConfigError
from meshregistry.pem import Material, PemRenewal, PemSources

LOGGER = logging.getLogger("meshregistry.test")


def _refused(_):
    """What a kernel says with ``vm.memfd_noexec=2``."""
    raise PermissionError(errno.EACCES, "Permission denied")


def private(key, encryption=None) -> bytes:
    """A key as PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        encryption or serialization.NoEncryption(),
    )


class TestPemSources:
    def test_read_files_and_text(self, authority, tmp_path):
        """Paths as such or as text, and PEM text as bytes."""
        certificate, key = authority.issue("localhost")
        path = tmp_path / "cert.pem"
        path.write_bytes(certificate)
        for source in (path, str(path), certificate):
            found = PemSources(certificate=source, key=key, roots=authority.root).read()
            assert Material(certificate=certificate, key=key, roots=authority.root) == found

    def test_ask_for_nothing(self):
        """What is not asked for is None."""
        found = PemSources().read()
        assert Material(certificate=None, key=None, roots=None) == found
        with pytest.raises(ValueError, match="give the sources a certificate and a key"):
            _ = found.pair

    def test_take_what_people_write_between_certificates(self, authority):
        """Comments, in whatever encoding, and several roots."""
        roots = b"# Z\xfcrich\n" + authority.root + "# Genève\n".encode() + authority.root
        assert roots == PemSources(roots=roots).read().roots

    @pytest.mark.parametrize("bits", [1024, 2048])
    def test_take_weak_keys(self, authority, bits):
        """How strong a key has to be is not for the reader to say."""
        weak = rsa.generate_private_key(65537, bits)
        certificate = authority.certify("localhost", weak.public_key())
        found = PemSources(certificate=certificate, key=private(weak)).read()
        assert certificate == found.certificate

    @pytest.mark.parametrize(
        ("name", "content", "words"),
        [
            ("certificate", None, "it cannot be read: No such file or directory; give a readable"),
            ("certificate", b"half-writ", "it is not PEM; give text with -----BEGIN"),
            ("certificate", b"-----BEGIN CERTIFICATE-----\nMII", "no whole certificate in it"),
            ("key", b"-----BEGIN PRIVATE KEY-----\nMII", "no private key in it that can be used"),
            ("client_ca", b"-----BEGIN CERTIFICATE-----\nMII", "no whole certificate in it"),
        ],
    )
    def test_name_file_field_and_remedy(self, authority, tmp_path, name, content, words):
        """Whatever is wrong with one of the files."""
        certificate, key = authority.issue("localhost")
        path = tmp_path / "it.pem"
        if content is not None:
            path.write_bytes(content)
        given = {"certificate": certificate, "key": key, "client_ca": authority.root, name: path}
        with pytest.raises(ConfigError) as caught:
            PemSources(
                certificate=given["certificate"],
                key=given["key"],
                roots=given["client_ca"],
                roots_field="client_ca",
            ).read()
        assert f"it.pem: tls.{name}: " in str(caught.value)
        assert words in str(caught.value)
        assert caught.value.remedy

    def test_refuse_the_key_of_another_certificate(self, authority):
        """Of the same kind and of another kind; the message says what to do."""
        certificate, _ = authority.issue("localhost")
        _, other = authority.issue("localhost")
        for key in (other, private(rsa.generate_private_key(65537, 2048))):
            with pytest.raises(ConfigError, match=r"not the key of tls.certificate; renew both"):
                PemSources(certificate=certificate, key=key).read()

    @pytest.mark.parametrize("lacking", ["/proc", "memory"])
    def test_do_without_the_comparison_where_it_cannot_be_made(
        self, authority, monkeypatch, lacking
    ):
        """As in a container without /proc, or if the kernel refuses: no reason not to serve."""
        certificate, _ = authority.issue("localhost")
        _, other = authority.issue("localhost")
        if lacking == "/proc":
            monkeypatch.setattr(pem, "_OPEN_FILES", "/does/not/exist")
        else:
            monkeypatch.setattr(os, "memfd_create", _refused)
        assert other == PemSources(certificate=certificate, key=other).read().key

    def test_refuse_a_key_with_a_passphrase(self, authority):
        """Nobody is asked for it, and the message has the remedy."""
        _, key = authority.issue("localhost")
        locked = private(
            serialization.load_pem_private_key(key, None),
            serialization.BestAvailableEncryption(b"open"),
        )
        certificate, _ = authority.issue("localhost")
        with pytest.raises(ConfigError, match="without a passphrase"):
            PemSources(certificate=certificate, key=locked).read()

    def test_show_no_key(self, authority):
        """Neither before nor after it was read."""
        certificate, key = authority.issue("localhost")
        sources = PemSources(certificate=certificate, key=key)
        secret = key.decode().splitlines()[1]
        assert secret not in repr(sources) + repr(sources.read())


class TestPemRenewal:
    @pytest.fixture
    def paths(self, tmp_path):
        """Where the files are."""
        return tmp_path / "cert.pem", tmp_path / "key.pem"

    @pytest.fixture
    def renewal(self, authority, paths, caplog):
        """One that has read a pair."""
        caplog.set_level(logging.INFO)
        self.write(paths, authority.issue("localhost"))
        certificate, key = paths
        return PemRenewal(PemSources(certificate=certificate, key=key), LOGGER)

    @staticmethod
    def write(paths, pair):
        """Exchange the files."""
        for path, content in zip(paths, pair, strict=True):
            path.write_bytes(content)

    def test_says_nothing_while_nothing_changes(self, renewal, caplog):
        """There is no renewed material, and no line in the log."""
        assert [None, None] == [renewal.renewed(), renewal.renewed()]
        assert [] == caplog.messages

    def test_follows_the_files(self, renewal, authority, paths, caplog):
        """What is new is given once, is current from then on, and is logged."""
        pair = authority.issue("localhost")
        self.write(paths, pair)
        found = renewal.renewed()
        assert pair == found.pair[::-1]
        assert renewal.renewed() is None
        assert found is renewal.current
        (line,) = caplog.messages
        assert line.startswith("certificates were renewed: ")
        assert str(paths[0]) in line

    def test_keeps_the_last_good_pair_between_two_halves(self, renewal, authority, paths, caplog):
        """A new certificate waits for its key; the log says so once, not at every look."""
        before = renewal.current
        certificate, key = authority.issue("localhost")
        paths[0].write_bytes(certificate)
        assert [None] * 3 == [renewal.renewed() for _ in range(3)]
        assert before is renewal.current
        (line,) = caplog.messages
        assert "the certificates in use stay: " in line
        assert f"{paths[1]}: tls.key: it is not the key of tls.certificate" in line
        paths[1].write_bytes(key)
        assert key == renewal.renewed().key

    def test_tells_of_each_change(self, renewal, paths, caplog):
        """Two changes that cannot be used are two lines, also if they fail alike."""
        for content in (b"one", b"two"):
            paths[0].write_bytes(content)
            assert renewal.renewed() is None
        paths[0].unlink()
        assert renewal.renewed() is None
        assert ["it is not PEM", "it is not PEM", "it cannot be read"] == [
            line.split(": ")[3].split(";")[0] for line in caplog.messages
        ]

    def test_is_content_when_the_old_files_return(self, renewal, paths):
        """A change that is taken back is no renewal."""
        good = paths[0].read_bytes()
        paths[0].write_bytes(b"bad")
        assert renewal.renewed() is None
        paths[0].write_bytes(good)
        assert renewal.renewed() is None
        assert good == renewal.current.certificate

    def test_begins_with_what_can_be_used(self, tmp_path):
        """Whoever makes it learns of a wrong file at once."""
        with pytest.raises(ConfigError, match=r"tls.certificate: it cannot be read"):
            PemRenewal(PemSources(certificate=tmp_path / "none.pem"), LOGGER)
