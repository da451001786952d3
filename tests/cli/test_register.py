"""``meshregistry register``: what it registers, until when, and what it refuses."""

from __future__ import annotations

import contextlib
import os
import signal

import pytest

from meshregistry.cli import _register
from meshregistry.model import Endpoint, Labels, Port, Protocol

WORDS = ("register", "vms", "reviews.shop", "--port", "80", "--endpoint", "10.0.0.1:9080")


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    """The logging of this process is that of the tests."""
    monkeypatch.setattr(_register, "configure_logs", lambda level, form: None)


@pytest.fixture
def calls(monkeypatch):
    """What is registered, instead of registering it; a signal comes at once."""
    seen = []

    @contextlib.asynccontextmanager
    async def registered(settings, source, record, *, ttl):
        seen.append((source, record, ttl))
        os.kill(os.getpid(), signal.SIGTERM)
        yield
        seen.append("taken back")

    monkeypatch.setattr(_register, "registered", registered)
    return seen


def test_it_registers_until_a_signal(folder, run, calls):
    """What the words say, for ten seconds at a time; both ends are announced."""
    ran = run(*WORDS)
    ((source, record, ttl), end) = calls
    assert (0, "vms", 10.0, "taken back") == (ran.code, source, ttl, end)
    assert (Port("http", 80, Protocol.HTTP),) == record.service.ports
    assert (Endpoint(address="10.0.0.1", port=9080),) == record.endpoints
    assert [
        "registered reviews.shop at 10.0.0.1:9080 in vms, renewed within 10s",
        "deregistered reviews.shop",
    ] == ran.out.splitlines()


def test_every_option_counts(folder, run, calls):
    """Names, protocol, namespace, several endpoints, labels, time."""
    more = "--protocol grpc --port-name api --namespace shop --endpoint [::1]:9 --label a=b"
    assert 0 == run(*WORDS, *more.split(), "--label", "c=d", "--ttl", "1m").code
    _, record, ttl = calls[0]
    assert (60.0, "shop") == (ttl, record.service.namespace)
    assert (Port("api", 80, Protocol.GRPC),) == record.service.ports
    assert ["10.0.0.1:9080", "[::1]:9"] == [str(one) for one in record.endpoints]
    assert {Labels({"a": "b", "c": "d"})} == {one.labels for one in record.endpoints}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--ttl", "10"], "'10' is not a duration"),
        (["--ttl", "100ms"], "too short"),
        (["--endpoint", "10.0.0.1"], "write address:port"),
        (["--protocol", "smoke"], "'smoke' is not a protocol"),
    ],
)
def test_wrong_words_are_wrong_usage(folder, run, calls, words, message):
    """Nothing is registered."""
    ran = run(*WORDS, *words)
    assert (2, []) == (ran.code, calls)
    assert message in " ".join(ran.err.split())


def test_a_host_must_be_one(folder, run, calls):
    """It is the name that callers use."""
    ran = run(*WORDS[:2], "re views", *WORDS[3:])
    assert (2, []) == (ran.code, calls)
    assert "'re views' is not a host name" in ran.err


def test_a_source_that_cannot_be_written_to_is_refused(folder, run):
    """The kind ``file``, for one."""
    ran = run(*WORDS)
    assert 1 == ran.code
    assert "services cannot be registered in a registry of kind file" in ran.err
