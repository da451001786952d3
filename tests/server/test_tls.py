"""Certificates: shown, asked for, and renewed."""

from __future__ import annotations

import datetime as dt
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from meshregistry.errors import ConfigError
from meshregistry.model import CLUSTER, Resource
from meshregistry.server import Observers, ServerTls, XdsServer
from meshregistry.server._tls import identities

SPIFFE = "spiffe://mesh.local/ns/shop/sa/web"


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test root")])
        builder = self._builder(self._name, self._key).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.root = self._signed(builder)

    def issue(self, name: str, *alternatives: x509.GeneralName) -> tuple[bytes, bytes]:
        """A certificate and its key, as PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(subject, key)
        if alternatives:
            builder = builder.add_extension(
                x509.SubjectAlternativeName(alternatives), critical=False
            )
        return self._signed(builder), key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def _builder(self, subject: x509.Name, key) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(hours=1))
        )

    def _signed(self, builder: x509.CertificateBuilder) -> bytes:
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="module")
def authority() -> Authority:
    """One authority for all of these tests."""
    return Authority()


@pytest.fixture
def server_pair(authority: Authority) -> tuple[bytes, bytes]:
    """What a server on localhost shows."""
    return authority.issue("server", x509.DNSName("localhost"))


@asynccontextmanager
async def serving(tls: ServerTls, **options):
    """A server with one cluster."""
    async with XdsServer(
        "127.0.0.1:0", group=lambda node: node.cluster, tls=tls, drain_timeout=0.5, **options
    ) as server:
        server.publish("edge", [Resource(type_url=CLUSTER, name="a", bytes=b"")])
        yield server


def connect(server: XdsServer, root: bytes, key: bytes | None = None, chain: bytes | None = None):
    """A channel that trusts a root and may show a certificate."""
    credentials = grpc.ssl_channel_credentials(root, key, chain)
    options = [("grpc.ssl_target_name_override", "localhost")]
    return grpc.aio.secure_channel(server.address, credentials, options=options)


async def refusal(client) -> grpc.StatusCode:
    """The status with which a client that is not let in ends."""
    return await client.call.code()


def test_a_certificate_is_shown(run_async, ads_client, authority, server_pair):
    """Clients that trust its root are served; without client roots nobody is asked."""
    certificate, key = server_pair
    peers = []

    async def main():
        observers = Observers(opened=lambda stream: peers.append(stream.peer))
        async with (
            serving(ServerTls(certificate=certificate, key=key), observers=observers) as server,
            connect(server, authority.root) as channel,
        ):
            client = ads_client(channel)
            await client.ask(CLUSTER)
            await client.follow()

    run_async(main())
    assert [()] == [peer.identities for peer in peers]


def test_a_verified_client_has_identities(run_async, ads_client, authority, server_pair):
    """URIs and DNS names of the client's certificate are the peer's identities."""
    certificate, key = server_pair
    own, own_key = authority.issue(
        "client", x509.UniformResourceIdentifier(SPIFFE), x509.DNSName("web.shop")
    )
    peers = []

    async def main():
        observers = Observers(opened=lambda stream: peers.append(stream.peer))
        tls = ServerTls(certificate=certificate, key=key, client_ca=authority.root)
        async with (
            serving(tls, observers=observers) as server,
            connect(server, authority.root, own_key, own) as channel,
        ):
            client = ads_client(channel)
            await client.ask(CLUSTER)
            await client.follow()

    run_async(main())
    assert [(SPIFFE, "web.shop")] == [peer.identities for peer in peers]


def test_a_client_without_certificate_is_refused(run_async, ads_client, authority, server_pair):
    """When clients are verified, who shows nothing is not connected."""
    certificate, key = server_pair

    async def main():
        tls = ServerTls(certificate=certificate, key=key, client_ca=authority.root)
        async with serving(tls) as server, connect(server, authority.root) as channel:
            assert grpc.StatusCode.UNAVAILABLE is await refusal(ads_client(channel))
            assert 0 == server.statistics().opened

    run_async(main())


def test_a_client_of_another_authority_is_refused(run_async, ads_client, authority, server_pair):
    """A certificate that leads to no known root is as good as none."""
    certificate, key = server_pair
    own, own_key = Authority().issue("client", x509.UniformResourceIdentifier(SPIFFE))

    async def main():
        tls = ServerTls(certificate=certificate, key=key, client_ca=authority.root)
        async with (
            serving(tls) as server,
            connect(server, authority.root, own_key, own) as channel,
        ):
            assert grpc.StatusCode.UNAVAILABLE is await refusal(ads_client(channel))

    run_async(main())


def test_a_plain_client_is_refused(run_async, ads_client, server_pair):
    """A server with a certificate does not speak without."""
    certificate, key = server_pair

    async def main():
        async with (
            serving(ServerTls(certificate=certificate, key=key)) as server,
            grpc.aio.insecure_channel(server.address) as channel,
        ):
            assert grpc.StatusCode.UNAVAILABLE is await refusal(ads_client(channel))

    run_async(main())


def test_changed_files_are_used_for_new_connections(run_async, ads_client, authority, tmp_path):
    """After a rotation, clients that trust only the new root are served; a bad file changes nothing."""
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    newer = Authority()

    def write(pair: tuple[bytes, bytes]) -> None:
        for path, content in zip((certificate, key), pair, strict=True):
            fresh = path.with_suffix(".new")
            fresh.write_bytes(content)
            fresh.replace(path)

    async def reach(server: XdsServer, root: bytes) -> None:
        async with connect(server, root) as channel:
            client = ads_client(channel)
            await client.ask(CLUSTER)
            await client.follow()

    async def main():
        write(authority.issue("server", x509.DNSName("localhost")))
        async with serving(ServerTls(certificate=certificate, key=str(key))) as server:
            await reach(server, authority.root)
            write(newer.issue("server", x509.DNSName("localhost")))
            await reach(server, newer.root)
            certificate.write_text("half-writ")
            await reach(server, newer.root)

    run_async(main())


@pytest.mark.parametrize("content", [None, "no pem"])
def test_a_file_that_cannot_be_used_is_named(run_async, server_pair, tmp_path, content):
    """The message has the file, the field and the remedy."""
    path = tmp_path / "cert.pem"
    if content is not None:
        path.write_text(content)

    async def main():
        with pytest.raises(ConfigError, match=r"cert\.pem: tls\.certificate: .* PEM"):
            async with serving(ServerTls(certificate=path, key=server_pair[1])):
                pass

    run_async(main())


def test_a_key_is_not_shown(server_pair):
    """Printing the settings does not print a private key."""
    certificate, key = server_pair
    assert key.decode().splitlines()[1] not in repr(ServerTls(certificate=certificate, key=key))


def test_peers_without_certificate_have_no_identity():
    """Nothing is verified, so nothing is claimed."""
    assert () == identities({})
    assert ("a",) == identities({"x509_subject_alternative_name": [b"a"]})
