"""Registration with certificates: a listener of its own, and who clients are by theirs."""

from __future__ import annotations

import datetime as dt
import ssl

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from meshregistry import Pilot

SPIFFE = "spiffe://mesh.local/ns/shop/sa/reviews"
MACHINE = {"host": "reviews.shop.mesh.local", "address": "10.0.0.1", "port": 8080}
TOKEN = "s3cret"


@pytest.fixture
def write_pem(tmp_path):
    """``write_pem(name, alternative name)``: a certificate that signs itself, and its key."""

    def write(name, alternative):
        own = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = dt.datetime.now(tz=dt.UTC)
        made = (
            x509.CertificateBuilder(subject, subject, own.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(own, hashes.SHA256())
        )
        pem, key = tmp_path / f"{name}.pem", tmp_path / f"{name}.key"
        pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        key.write_bytes(
            own.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return str(pem), str(key)

    return write


@pytest.fixture
def asked(run_async, make_settings, write_pem):
    """``asked(tokens=…)``: the statuses for a known client, a strange one, a token, and nobody."""
    server = write_pem("server", x509.DNSName("localhost"))
    known = write_pem("known", x509.UniformResourceIdentifier(SPIFFE))
    other = write_pem("other", x509.UniformResourceIdentifier(SPIFFE))

    def context(client=None):
        made = ssl.create_default_context(cafile=server[0])
        if client:
            made.load_cert_chain(*client)
        return made

    def call(**fields):
        registration = {
            "source": "mine",
            "address": "127.0.0.1:0",
            "tls": {"certificate": server[0], "key": server[1], "client_ca": known[0]},
            "clients": [{"identity": SPIFFE, "hosts": ["*.shop.mesh.local"]}],
            **fields,
        }
        settings = make_settings(
            {"id": "mine", "kind": "memory"},
            server={"http": "127.0.0.1:0", "admin": None, "probes": None}
            | {"registration": registration},
        )

        async def main():
            found = {}
            async with Pilot(settings) as pilot, aiohttp.ClientSession() as session:
                address = pilot.addresses()["registration"]
                assert address != pilot.http_address
                for name, client, token, host in (
                    ("known", known, "", MACHINE["host"]),
                    ("known, another host", known, "", "a.bank.mesh.local"),
                    ("strange", other, "", MACHINE["host"]),
                    ("token", None, TOKEN, MACHINE["host"]),
                    ("nobody", None, "", MACHINE["host"]),
                ):
                    try:
                        async with session.post(
                            f"https://{address}/v1/register",
                            json={**MACHINE, "host": host},
                            ssl=context(client),
                            server_hostname="localhost",
                            headers={"Authorization": f"Bearer {token}"} if token else {},
                        ) as answer:
                            found[name] = answer.status
                    except (aiohttp.ClientError, OSError):
                        found[name] = "refused"
            return found

        return run_async(main())

    return call


def test_a_verified_certificate_says_who_asks(asked):
    """And what may be registered; a certificate of the same name by another authority says nothing."""
    assert asked() == {
        "known": 201,
        "known, another host": 403,
        "strange": "refused",
        "token": "refused",
        "nobody": "refused",
    }


def test_with_tokens_a_certificate_is_not_needed(asked):
    """Whoever has neither is told so."""
    assert asked(tokens=[{"token": TOKEN}]) == {
        "known": 201,
        "known, another host": 403,
        "strange": "refused",
        "token": 200,
        "nobody": 401,
    }
