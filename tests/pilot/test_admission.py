"""What a Kubernetes API server is answered about routing documents."""

from __future__ import annotations

import datetime as dt
import ssl

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from meshregistry import Pilot, Settings
from meshregistry.pilot._admission import review

RULE = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "DestinationRule",
    "metadata": {"name": "a", "namespace": "shop", "creationTimestamp": None, "managedFields": []},
    "spec": {"host": "reviews"},
    "status": {},
}


def asked(value, operation="CREATE"):
    """A review of an object."""
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {"uid": "u", "operation": operation, "object": value},
    }


def answer(value, operation="CREATE"):
    """The response in the answer to it."""
    return review(asked(value, operation), "mesh.local")["response"]


def test_a_good_document_may_come_in():
    """Under the id of the question."""
    assert answer(RULE) == {"uid": "u", "allowed": True}


def test_a_broken_one_may_not_and_is_told_why():
    """With field, reason and remedy."""
    told = answer({**RULE, "spec": {"hots": "reviews"}})
    assert told["allowed"] is False
    assert told["status"]["code"] == 422
    assert "spec.hots: unknown key; did you mean host?" in told["status"]["message"]


def test_warnings_let_it_in():
    """And are shown to whoever applies it."""
    told = answer({**RULE, "spec": {"host": "reviews", "subsets": [{"name": "v1"}]}})
    assert told["allowed"] is True
    assert "whole service" in told["warnings"][0]


@pytest.mark.parametrize(
    ("value", "operation"),
    [
        ({**RULE, "spec": {}}, "DELETE"),
        (None, "DELETE"),
        ({**RULE, "kind": "EnvoyFilter"}, "CREATE"),
        ({**RULE, "metadata": {"generateName": "a-"}}, "CREATE"),
    ],
)
def test_what_is_not_ours_to_judge_may_come_in(value, operation):
    """What goes, what is not read here, and what has no name yet."""
    assert answer(value, operation)["allowed"] is True


def test_anything_else_is_an_error():
    """With what to do."""
    for wrong in ({}, {"kind": "AdmissionReview"}, {"kind": "Pod", "request": {}}):
        with pytest.raises(ValueError, match="no AdmissionReview"):
            review(wrong, "mesh.local")


@pytest.fixture
def write_pem(tmp_path):
    """Writes a certificate for localhost and its key; gives both paths."""

    def write(name):
        own = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = dt.datetime.now(tz=dt.UTC)
        made = (
            x509.CertificateBuilder(subject, subject, own.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(own, hashes.SHA256())
        )
        pem = tmp_path / f"{name}.pem", tmp_path / f"{name}.key"
        pem[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
        pem[1].write_bytes(
            own.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return pem

    return write


def test_it_is_served_over_tls_with_files_that_may_change(run_async, tmp_path, write_pem):
    """Beside the other listeners, and not on theirs."""
    first, second = write_pem("first"), write_pem("second")
    certificate, key = tmp_path / "tls.pem", tmp_path / "tls.key"

    def place(pem):
        certificate.write_bytes(pem[0].read_bytes())
        key.write_bytes(pem[1].read_bytes())

    place(first)
    settings = Settings.from_dict(
        {
            "sources": [{"id": "mine", "kind": "memory"}],
            "server": {
                "xds": "127.0.0.1:0",
                "webhook": {
                    "address": "127.0.0.1:0",
                    "certificate": str(certificate),
                    "key": str(key),
                },
            },
        }
    )

    async def main():
        async with Pilot(settings) as pilot:
            url = f"https://{pilot.addresses()['webhook']}/validate"
            for pem in (first, second):
                place(pem)
                trust = ssl.create_default_context(cafile=str(pem[0]))
                trusting = {"ssl": trust, "server_hostname": "localhost"}
                async with aiohttp.ClientSession() as session:
                    async with session.post(url, json=asked(RULE), **trusting) as told:
                        assert (await told.json())["response"]["allowed"] is True
                    async with session.post(url, data=b"x", **trusting) as told:
                        assert told.status == 415
                    async with session.post(url, json=[], **trusting) as told:
                        assert told.status == 400

    run_async(main())
