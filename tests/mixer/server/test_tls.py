"""Certificates of the server: shown, asked for, and renewed."""

from __future__ import annotations

import grpc
import grpc.aio
import pytest

from meshregistry.errors import ConfigError
from meshregistry.mixer import MixerClient, MixerTls
from meshregistry.mixer.server import MixerServer, MixerServerTls


@pytest.fixture
def paths(tmp_path):
    """Where the server has its certificate and key."""
    return tmp_path / "cert.pem", tmp_path / "key.pem"


def write(paths, pair):
    """Exchange the files."""
    for path, content in zip(paths, pair, strict=True):
        path.write_bytes(content)


def server(paths, client_ca=None):
    """A server without configuration."""
    certificate, key = paths
    tls = MixerServerTls(certificate=certificate, key=key, client_ca=client_ca)
    return MixerServer("localhost:0", tls=tls, drain=0.1)


async def connect(address, root, key=None, chain=None):
    """One handshake.

    Raises:
        TimeoutError: if it fails.
    """
    credentials = grpc.ssl_channel_credentials(root, key, chain)
    async with grpc.aio.secure_channel(address, credentials) as channel:
        state = channel.get_state(try_to_connect=True)
        while state is not grpc.ChannelConnectivity.READY:
            if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                raise ConnectionError(f"{address} is not believed")
            await channel.wait_for_state_change(state)
            state = channel.get_state()


def test_renewed_files_are_used(run_async, authority, paths, caplog):
    """For new connections; half of a renewal changes nothing, and is told once."""
    newer = type(authority)()

    async def main():
        write(paths, authority.issue("localhost"))
        async with server(paths) as running:
            await connect(running.address, authority.root)
            certificate, key = newer.issue("localhost")
            paths[0].write_bytes(certificate)
            for _ in range(2):
                await connect(running.address, authority.root)
            paths[1].write_bytes(key)
            await connect(running.address, newer.root)
            with pytest.raises(ConnectionError):
                await connect(running.address, authority.root)

    run_async(main())
    (line,) = (one for one in caplog.messages if "certificates" in one)
    assert "the certificates in use stay: " in line
    assert "key.pem: tls.key: it is not the key of tls.certificate" in line


def test_clients_are_asked_for_certificates(run_async, authority, paths, tmp_path):
    """With roots of clients, one that shows nothing is refused; the client of Mixer can."""
    client_ca = tmp_path / "clients.pem"
    client_ca.write_bytes(authority.root)
    certificate, key = authority.issue("client")

    async def main():
        write(paths, authority.issue("localhost"))
        async with server(paths, client_ca) as running:
            tls = MixerTls(ca=authority.root, certificate=certificate, key=key)
            async with MixerClient(running.address, tls=tls) as client:
                answered = await client.check({"request.path": "/"})
            async with MixerClient(running.address, tls=MixerTls(ca=authority.root)) as client:
                return answered, await client.check({"request.path": "/"})

    answered, refused = run_async(main())
    # There is no configuration yet, which only somebody who was let in is told.
    assert "no configuration" in str(answered.failure)
    assert "no configuration" not in str(refused.failure)
    assert refused.failure is not None


def test_a_file_that_cannot_be_used_is_named(run_async, authority, paths):
    """The message has the file, the field and the remedy."""

    async def fault():
        with pytest.raises(ConfigError) as caught:
            async with server(paths):
                pass
        assert caught.value.remedy
        return str(caught.value)

    certificate, key = paths
    write(paths, (b"half-writ", authority.issue("localhost")[1]))
    assert f"{certificate}: tls.certificate: it is not PEM" in run_async(fault())
    write(paths, authority.issue("localhost"))
    key.unlink()
    assert f"{key}: tls.key: it cannot be read: No such file" in run_async(fault())
