"""Certificates of HTTP listeners."""

from __future__ import annotations

import asyncio
import logging
import ssl

import pytest

from meshregistry.errors import ConfigError
from meshregistry.server import renewing_context


def write(paths, pair):
    """Exchange the files."""
    for path, content in zip(paths, pair, strict=True):
        path.write_bytes(content)


async def shown(context, root):
    """What a client that trusts a root is shown.

    Raises:
        ssl.SSLError: if it leads to another root.
    """
    server = await asyncio.start_server(
        lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context
    )
    trust = ssl.create_default_context(cadata=root.decode())
    async with server:
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=trust, server_hostname="localhost"
        )
        certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    return ssl.DER_cert_to_PEM_cert(certificate).encode()


def test_renewed_files_are_used(run_async, authority, tmp_path, caplog):
    """A renewal that cannot be used is logged once, and the last good one is shown."""
    caplog.set_level(logging.INFO)
    paths = tmp_path / "cert.pem", tmp_path / "key.pem"
    second, third = (authority.issue("localhost") for _ in range(2))

    async def main():
        write(paths, authority.issue("localhost"))
        context = renewing_context(*paths)
        write(paths, second)
        found = [await shown(context, authority.root)]
        paths[0].write_bytes(third[0])
        found += [await shown(context, authority.root) for _ in range(2)]
        paths[1].write_bytes(third[1])
        return [*found, await shown(context, authority.root)]

    assert [second[0]] * 3 + [third[0]] == run_async(main())
    assert ["certificates were", "the certificates", "certificates were"] == [
        " ".join(line.split()[:2]) for line in caplog.messages
    ]


def test_a_file_that_is_not_there_is_told_at_the_start(tmp_path):
    """With its path, and what to do."""
    with pytest.raises(ConfigError, match=r"cert\.pem: .*No such file.*give a readable PEM file"):
        renewing_context(tmp_path / "cert.pem", tmp_path / "key.pem")


def test_a_key_with_a_passphrase_is_refused_at_the_start(locked):
    """Nobody is asked for it at the terminal, where a server would wait for ever."""
    code = (
        "from pathlib import Path\n"
        "from meshregistry.errors import ConfigError\n"
        "from meshregistry.server import renewing_context\n"
        "try:\n"
        "    renewing_context(Path('cert.pem'), Path('key.pem'))\n"
        "except ConfigError as error:\n"
        "    print(error)\n"
    )
    assert "without a passphrase" in locked(code)
