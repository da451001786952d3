"""Our client with the original server."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from meshregistry.mixer import (
    ClientOptions,
    Code,
    FailPolicy,
    HeaderOperation,
    MixerClient,
    Operation,
    Repeated,
)
from meshregistry.mixer._words import BASE_WORD_COUNT, GLOBAL_WORDS
from meshregistry.mixer.client._grpc import GrpcTransport
from mixer_both import documents
from mixer_original_documents import POLICY, logging
from servers.original_mixer import OriginalMixer

# Between two checks, so that what is asked in advance can be answered.
PAUSE = 0.005
# Nothing is kept by the client, so that each check is the server's.
DIRECT = ClientOptions(check_cache_size=0, quota_cache_size=0, fail_policy=FailPolicy.RAISE)


@pytest.fixture
def config(tmp_path):
    """Makes a folder with these documents."""

    def make(*given):
        folder = tmp_path / "config"
        folder.mkdir()
        (folder / "mixer.yaml").write_text(documents(*given))
        return folder

    return make


@pytest.fixture
def with_client(original, config, tmp_path):
    """Enters an original server with the policy of this file and a client of it."""

    @asynccontextmanager
    async def enter(options=None, *given):
        async with OriginalMixer(original, config(*(given or POLICY)), tmp_path) as server:
            options = options or ClientOptions(fail_policy=FailPolicy.RAISE)
            async with MixerClient(server.address, options=options) as client:
                yield client

    return enter


def test_checks_are_kept_by_what_the_original_says_they_were_made_of(with_client, run_async):
    """An attribute that it did not read makes no difference, one that it read does."""

    async def main():
        async with with_client() as client:
            headers = {"x-user": "ann", "x-other": "1"}
            first = await client.check({"request.headers": headers, "source.ip": b"\1\1\1\1"})
            assert (True, False) == (first.is_allowed, first.is_cache_hit)
            same = await client.check(
                {"request.headers": headers | {"x-other": "2"}, "source.ip": b"\2\2\2\2"}
            )
            assert (True, True) == (same.is_allowed, same.is_cache_hit)
            for more in ({"request.path": "/x"}, {"request.headers": {"x-user": "ben"}}):
                other = await client.check({"request.headers": headers} | more)
                assert (True, False) == (other.is_allowed, other.is_cache_hit)

    run_async(main())


def test_a_denial_holds_for_the_uses_that_the_original_gives_it(with_client, run_async):
    """Three: the client keeps it that often, and asks again then."""

    async def main():
        async with with_client() as client:
            results = [await client.check({"request.headers": {"x-user": "eve"}}) for _ in range(6)]
            assert {Code.PERMISSION_DENIED} == {one.status.code for one in results}
            assert {"deny.istio-system:not you"} == {one.status.message for one in results}
            assert {403} == {one.http_code for one in results}
            hits = [one.is_cache_hit for one in results]
            assert [False, True, True, True, False, True] == hits

    run_async(main())


def test_the_originals_route_directive_is_understood(with_client, run_async):
    """Operations on headers of both directions, with values of attributes."""

    async def main():
        async with with_client() as client:
            said = await client.check({"request.path": "/hello", "source.name": "ann"})
            assert (
                HeaderOperation("x-name", "ann"),
                HeaderOperation("x-secret", operation=Operation.REMOVE),
            ) == tuple(said.directive.request_headers)
            assert [("x-seen", "a", Operation.APPEND), ("x-seen", "b", Operation.APPEND)] == [
                (one.name, one.value, one.operation) for one in said.directive.response_headers
            ]
            kept = await client.check({"request.path": "/hello", "source.name": "ann"})
            assert (True, said.directive) == (kept.is_cache_hit, kept.directive)
            assert not (await client.check({"request.path": "/"})).directive.request_headers

    run_async(main())


def test_the_originals_quota_runs_out(with_client, run_async):
    """To the last unit if nothing is taken in advance; each name has its own."""

    async def main():
        async with with_client(DIRECT) as client:
            asked = [
                await client.check({"source.name": "ann"}, quotas={"calls": 7}) for _ in "12345"
            ]
            codes = [one.status.code for one in asked]
            assert [Code.OK] * 4 + [Code.RESOURCE_EXHAUSTED] == codes
            assert 7 == asked[0].granted["calls"]
            assert (await client.check({"source.name": "ann"}, quotas={"calls": 2})).is_allowed
            assert not (await client.check({"source.name": "ann"}, quotas={"calls": 1})).is_allowed
            assert (await client.check({"source.name": "ben"}, quotas={"calls": 30})).is_allowed

    run_async(main())


def test_quota_is_taken_in_advance_from_the_original(with_client, run_async):
    """No more calls than that saves pass: ten before the first answer, in the worst case."""

    async def main():
        async with with_client() as client:
            results = []

            async def ask():
                results.append(await client.check({}, quotas={"calls": 1}))
                await asyncio.sleep(PAUSE)
                return sum(one.is_allowed for one in results)

            while await ask() < 30:
                pass
            for _ in range(50):
                passed = await ask()
            assert passed <= 40
            assert not results[-1].is_allowed
            assert sum(one.is_quota_cache_hit for one in results) >= len(results) - 20
            assert client.statistics()["total_remote_calls"] < len(results) / 2

    run_async(main())


@pytest.mark.parametrize("is_compressed", [False, True])
@pytest.mark.parametrize("repeated", [Repeated.DELTA, Repeated.INDEPENDENT])
def test_the_original_reads_our_batches(with_client, run_async, tmp_path, repeated, is_compressed):
    """As differences and independently; every type arrives, and what is gone is gone.

    It knows no gzip, and is sent them as they are once it has said so.
    """
    log = tmp_path / "log"
    began = datetime(2026, 3, 4, 5, 6, 7, 891_234, tzinfo=UTC)
    reports = [
        {
            "source.name": "ann",
            "request.time": began,
            "response.code": 200,
            "response.duration": timedelta(milliseconds=1500),
            "source.ip": bytes([10, 0, 0, 1]),
            "connection.mtls": True,
            "request.headers": {"x-user": "eve", "x-more": "1"},
        },
        {"source.name": "ben", "request.time": began, "response.code": 404},
        {"source.name": "ben", "request.time": began, "response.code": 200},
    ]
    options = ClientOptions(
        report_encoding=repeated, compress_reports=is_compressed, fail_policy=FailPolicy.RAISE
    )

    async def main():
        async with with_client(options, *logging(log)) as client:
            for one in reports:
                client.report(one)
            await client.flush()
            # The cut where attributes are gone is the one thing that differences cannot say.
            calls = 2 if repeated is Repeated.DELTA else 1
            assert calls == client.statistics()["total_remote_report_successes"]

    run_async(main())
    first, second, third = (json.loads(line) for line in log.read_text().splitlines())
    assert {
        "level": "warn",
        "time": "2026-03-04T05:06:07.891234Z",
        "instance": "entry.instance.istio-system",
        "at": "2026-03-04T05:06:07.891234Z",
        "code": 200,
        "ip": "10.0.0.1",
        "tls": True,
        "took": "1.5s",
        "user": "eve",
        "who": "ann",
    } == first
    assert ("ben", 404, "0s", False, "-") == tuple(
        second[name] for name in ("who", "code", "took", "tls", "user")
    )
    assert ("ben", 200) == (third["who"], third["code"])


class OneWordMore(GrpcTransport):
    """Announces a word more than there is, as a client of a later version would."""

    def __init__(self, address):
        super().__init__((address,))
        self.announced = []

    async def check(self, request, timeout):
        """Ask, with the wrong count unless the client has learnt."""
        self._change(request)
        return await super().check(request, timeout)

    async def report(self, request, timeout, *, again):
        """Tell, likewise."""
        self._change(request)
        await super().report(request, timeout, again=again)

    def _change(self, request):
        self.announced.append(request.global_word_count)
        if request.global_word_count > BASE_WORD_COUNT:
            request.global_word_count = len(GLOBAL_WORDS) + 1


def test_the_client_gives_way_to_an_original_with_fewer_words(
    original, config, tmp_path, run_async
):
    """By its words of an INTERNAL error, which the original client did not understand."""

    async def main():
        async with OriginalMixer(original, config(*POLICY), tmp_path) as server:
            transport = OneWordMore(server.address)
            async with MixerClient(transport=transport, options=DIRECT) as client:
                for _ in "12":
                    denied = await client.check({"request.headers": {"x-user": "eve"}})
                    assert Code.PERMISSION_DENIED == denied.status.code
            assert [len(GLOBAL_WORDS), BASE_WORD_COUNT, BASE_WORD_COUNT] == transport.announced

    run_async(main())
