"""A server of Mixer in memory, and what it answers, for tests of the client."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import deque

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from meshregistry.mixer import decode_attributes, decode_report
from meshregistry.mixer._dictionary import Dictionary, known_words
from meshregistry.mixer.proto.mixer_v1_pb2 import CheckResponse, ReferencedAttributes


def refer(target, exact=(), absent=(), regex=()):
    """Write references into a message: ``name`` or ``name|key``, as a server does."""
    dictionary = Dictionary(known_words())
    conditions = (
        (ReferencedAttributes.EXACT, exact),
        (ReferencedAttributes.ABSENCE, absent),
        (ReferencedAttributes.REGEX, regex),
    )
    for condition, references in conditions:
        for reference in references:
            name, _, key = reference.partition("|")
            match = target.attribute_matches.add(condition=condition, name=dictionary.index(name))
            if key:
                match.map_key = dictionary.index(key)
    target.words.extend(dictionary.words)


def respond(*exact, absent=(), regex=(), code=0, message="", seconds=None, uses=-1, quotas=None):
    """A response to a check; quotas are (granted amount, seconds, exact references) by name."""
    response = CheckResponse()
    said = response.precondition
    said.status.code, said.status.message = code, message
    said.valid_use_count = uses
    if seconds is not None:
        said.valid_duration.seconds = seconds
    refer(said.referenced_attributes, exact, absent, regex)
    for name, (granted, holds, references) in (quotas or {}).items():
        result = response.quotas[name]
        result.granted_amount = granted
        if holds is not None:
            result.valid_duration.seconds = holds
        refer(result.referenced_attributes, references)
    return response


class FakeTransport:
    """Answers from a script, or else always the same; keeps what it was sent.

    An answer is a response, an exception to raise, a future of one of them, or a function of
    the request that gives one.
    """

    def __init__(self, answer=None):
        self.answer = answer or respond()
        self.script = deque()
        self.report_script = deque()
        self.requests = []
        self.timeouts = []
        self.report_requests = []
        self.again = []
        self.is_closed = False

    async def check(self, request, timeout):
        self.requests.append(request)
        self.timeouts.append(timeout)
        answer = self.script.popleft() if self.script else self.answer
        return await self._said(answer, request)

    async def report(self, request, timeout, *, again):
        self.report_requests.append(request)
        self.again.append(again)
        if self.report_script:
            await self._said(self.report_script.popleft(), request)

    async def close(self):
        self.is_closed = True

    async def _said(self, answer, request):
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, asyncio.Future):
            answer = await answer
        if isinstance(answer, BaseException):
            raise answer
        return answer

    @property
    def bags(self):
        """The attributes of every check."""
        return [decode_attributes(request.attributes).bag for request in self.requests]

    @property
    def reports(self):
        """The attributes of every report, batch by batch."""
        return [
            [decoded.bag for decoded in decode_report(request)] for request in self.report_requests
        ]


@pytest.fixture
def answer():
    """Makes responses to checks."""
    return respond


@pytest.fixture
def transport():
    """A server that allows everything."""
    return FakeTransport()


@pytest.fixture
def until():
    """Gives way until a condition holds: other tasks run, time does not."""

    async def wait(condition):
        for _ in range(200):
            if condition():
                return
            await asyncio.sleep(0)
        pytest.fail("the condition never held")

    return wait


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self):
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test root")])
        constraint = x509.BasicConstraints(ca=True, path_length=None)
        builder = self._builder(self._name, self._key).add_extension(constraint, critical=True)
        self.root = self._signed(builder)

    def issue(self, name, *uris):
        """A certificate for a DNS name, and URIs, and its key, as PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        also = map(x509.UniformResourceIdentifier, uris)
        names = x509.SubjectAlternativeName([x509.DNSName(name), *also])
        builder = self._builder(subject, key).add_extension(names, critical=False)
        return self._signed(builder), key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def _builder(self, subject, key):
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

    def _signed(self, builder):
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="session")
def authority():
    """One authority for all of these tests."""
    return Authority()
