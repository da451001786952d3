"""The server on the wire, asked by a client that knows nothing but the protocol's tables."""

from __future__ import annotations

import asyncio
import math
import struct
from contextlib import asynccontextmanager

import aiohttp
import grpc
import pytest
from attrs import evolve

from meshregistry.documents import RuleUnit
from meshregistry.errors import ConfigError
from meshregistry.mixer import GLOBAL_WORDS, AttributeBag, Compressor
from meshregistry.mixer.config import Known
from meshregistry.mixer.proto.mixer_v1_pb2 import (
    CheckRequest,
    CheckResponse,
    ReportRequest,
    ReportResponse,
)
from meshregistry.mixer.server import MixerServer, Mode, SheddingConfig
from meshregistry.mixer.spi import CheckAnswer, Code, DirectResponse, QuotaAnswer, Status

WORDS = len(GLOBAL_WORDS)


class Client:
    """The two methods."""

    def __init__(self, channel):
        self._check = channel.unary_unary(
            "/istio.mixer.v1.Mixer/Check",
            request_serializer=CheckRequest.SerializeToString,
            response_deserializer=CheckResponse.FromString,
        )
        self._report = channel.unary_unary(
            "/istio.mixer.v1.Mixer/Report",
            request_serializer=ReportRequest.SerializeToString,
            response_deserializer=ReportResponse.FromString,
        )

    async def check(self, values, word_count=WORDS, **quotas):
        request = CheckRequest(global_word_count=word_count, deduplication_id="id")
        known = min(word_count, len(GLOBAL_WORDS))
        request.attributes.CopyFrom(Compressor(known).attributes(AttributeBag(values)))
        for name, amount in quotas.items():
            request.quotas[name].amount = amount
        return await self._check(request)

    async def report(self, *bags):
        return await self._report(Compressor().report([AttributeBag(one) for one in bags]))


@pytest.fixture
def documents(document, handler):
    """Check, quota and report at one handler."""
    return (
        handler("a"),
        document(
            "instance",
            "i",
            "compiledTemplate: listentry\nparams: {value: 'request.headers[\"x\"] | request.path'}",
        ),
        document("instance", "q", "compiledTemplate: quota\nparams: {dimensions: {}}"),
        document("instance", "m", "compiledTemplate: metric\nparams: {value: response.code}"),
        document("rule", "r", "actions: [{handler: a, instances: [i, q, m]}]"),
    )


@pytest.fixture
def served(bench, tmp_path):
    """A server with these documents in a folder, and a client."""

    @asynccontextmanager
    async def serve(*documents, **options):
        (tmp_path / "config.yaml").write_text("---\n".join(documents))
        async with (
            MixerServer(
                "127.0.0.1:0",
                config=tmp_path,
                adapters=bench.known.adapters.values(),
                templates=bench.known.templates.values(),
                **options,
            ) as server,
            grpc.aio.insecure_channel(server.address) as channel,
        ):
            yield server, Client(channel)

    return serve


class TestCheck:
    """Answers as the tables say."""

    def test_an_allowed_check(self, run_async, bench, served, documents):
        """With its validity, what it was made of, and quotas."""

        async def main():
            bench.answers["a", "check"] = CheckAnswer(valid_duration=1.5, valid_use_count=7)
            bench.answers["a", "quota"] = QuotaAnswer(amount=2, valid_duration=3.0)
            async with served(*documents) as (_, client):
                answer = await client.check(
                    {"request.headers": {}, "request.path": "/own/word"}, q=2, unknown=1
                )
                said = answer.precondition
                assert (said.status.code, said.valid_use_count) == (0, 7)
                assert (said.valid_duration.seconds, said.valid_duration.nanos) == (1, 500_000_000)
                words = said.referenced_attributes.words
                read = {
                    (
                        GLOBAL_WORDS[one.name] if one.name >= 0 else words[-one.name - 1],
                        one.condition,
                        words[-one.map_key - 1] if one.map_key < 0 else "",
                    )
                    for one in said.referenced_attributes.attribute_matches
                }
                assert ("request.headers", 1, "x") in read
                assert ("request.path", 2, "") in read
                assert {name: one.granted_amount for name, one in answer.quotas.items()} == {
                    "q": 2,
                    "unknown": 1,
                }
                assert bench.requests[0].deduplication_id == "idq"

        run_async(main())

    def test_a_denial_is_an_answer(self, run_async, bench, served, documents):
        """With code, reasons, and the response for the caller."""

        async def main():
            bench.answers["a", "check"] = CheckAnswer(
                status=Status(Code.PERMISSION_DENIED, "no"),
                response=DirectResponse(body="go away", headers={"x-a": "1"}),
            )
            async with served(*documents) as (_, client):
                said = (await client.check({"request.path": "/"}, q=1)).precondition
                assert (said.status.code, said.status.message) == (7, "a.istio-system:no")
                assert said.route_directive.direct_response_code == 403
                assert said.route_directive.direct_response_body == "go away"
                (header,) = said.route_directive.response_header_operations
                assert (header.name, header.value) == ("x-a", "1")

        run_async(main())

    def test_words_that_the_client_does_not_know(self, run_async, bench, served, documents):
        """Are in the list of the answer; a client that knows too many is told to use fewer."""

        async def main():
            async with served(*documents) as (_, client):
                answer = await client.check({"request.path": "/"}, word_count=0)
                referenced = answer.precondition.referenced_attributes
                assert "request.path" in referenced.words
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await client.check({}, word_count=len(GLOBAL_WORDS) + 1)
                assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
                start = "Request could not be processed due to invalid"
                assert caught.value.details().startswith(start)

        run_async(main())

    def test_what_the_wire_cannot_say(self, run_async, bench, served, documents):
        """Is said as the most that it can."""

        async def main():
            async with served(*documents) as (_, client):
                bench.answers["a", "check"] = CheckAnswer(
                    valid_duration=math.inf, valid_use_count=2**40
                )
                said = (await client.check({"request.path": "/"})).precondition
                assert (said.valid_duration.seconds, said.valid_use_count) == (
                    315_576_000_000,
                    2**31 - 1,
                )

        run_async(main())

    @pytest.mark.parametrize("letter", ["x", "ä", "𝄞"])
    def test_a_failure_with_a_long_reason_is_one(self, run_async, bench, served, documents, letter):
        """Values of requests are in reasons; more than fits into headers is cut off."""

        async def main():
            async with served(*documents) as (_, client):
                bench.answers["a", "check"] = ValueError(letter * 20_000)
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await client.check({"request.path": "/"})
                assert caught.value.code() is grpc.StatusCode.INTERNAL
                assert letter * 400 in caught.value.details()

        run_async(main())

    def test_a_failure_is_internal(self, run_async, bench, served, documents):
        """So that the client's policy decides."""

        async def main():
            async with served(*documents) as (_, client):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await client.check({})
                assert caught.value.code() is grpc.StatusCode.INTERNAL
                assert "lookup failed: 'request.path'" in caught.value.details()

        run_async(main())

    def test_an_overloaded_server_is_unavailable(self, run_async, served, documents):
        """For checks and for reports."""

        async def main():
            shedding = SheddingConfig(mode=Mode.ENFORCE, rate=0.001, burst=1, latency=0)
            async with served(*documents, shedding=shedding) as (_, client):
                await client.check({"request.path": "/"})
                for call in (
                    client.check({"request.path": "/"}),
                    client.report({"response.code": 1}),
                ):
                    with pytest.raises(grpc.aio.AioRpcError) as caught:
                        await call
                    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE

        run_async(main())


class TestReport:
    """A batch in one call."""

    def test_all_entries_in_one_call_of_the_handler(self, run_async, bench, served, documents):
        """And those that fail are told when the others are done."""

        async def main():
            async with served(*documents) as (_, client):
                await client.report({"response.code": 1}, {"response.code": 2})
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await client.report({"response.code": 3}, {}, {})
                assert caught.value.code() is grpc.StatusCode.UNKNOWN
                # A reason is told once, however many entries fail for it.
                assert caught.value.details() == (
                    "taken by a.istio-system; failed: a.istio-system:m.instance.istio-system: "
                    "value: lookup failed: 'response.code' (2 times)"
                )
                told = [[one.value for one in given] for given in bench.given("report")]
                assert told == [[1, 2], [3]]
                bench.answers["a", "report"] = OSError("gone")
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await client.report({"response.code": 4})
                said = "taken by nobody; failed: a.istio-system:OSError: gone"
                assert caught.value.details() == said

        run_async(main())


class TestConfig:
    """The folder is followed."""

    def test_changes_come_into_force(self, run_async, bench, served, documents, tmp_path):
        """Good ones; a bad one keeps what was good, and is told."""

        async def main():
            async with served(*documents) as (server, client):
                bench.answers["a", "check"] = CheckAnswer(valid_duration=1.0, valid_use_count=1)
                file = tmp_path / "config.yaml"
                text = file.read_text()
                denies = Status(Code.PERMISSION_DENIED, "no")
                bench.answers["b", "check"] = CheckAnswer(status=denies)
                file.write_text(text.replace("is: a", "is: b"))
                async with asyncio.timeout(20):
                    while (await client.check({"request.path": "/"})).precondition.status.code != 7:  # noqa: ASYNC110 - looks from outside
                        await asyncio.sleep(0.01)
                assert server.status().handlers == (("a.istio-system", ""),)
                file.write_text(text.replace("is: a", "iz: b"))
                async with asyncio.timeout(20):
                    while not server.status().kept:  # noqa: ASYNC110 - as above
                        await asyncio.sleep(0.01)
                assert server.status().kept == ("handler istio-system/a",)
                assert "unknown key" in str(server.status().faults[0])
                answer = await client.check({"request.path": "/x"})
                assert answer.precondition.status.code == 7

        run_async(main())

    def test_an_adapter_that_breaks_is_not_the_end(
        self, run_async, bench, served, documents, tmp_path
    ):
        """What was in force stays, and the next version is followed."""
        checked = []

        def check(config, _):
            checked.append(config.word)
            if config.word == "boom":
                raise ZeroDivisionError("x")
            return ()

        async def main():
            adapter = evolve(bench.known.adapters["double"], check=check)
            bench.known = Known.of([adapter], bench.known.templates.values())
            async with served(*documents) as (_, client):
                file = tmp_path / "config.yaml"
                text = file.read_text()
                file.write_text(text.replace("word: ''", "word: boom"))
                async with asyncio.timeout(20):
                    while "boom" not in checked:  # noqa: ASYNC110 - looks from outside
                        await asyncio.sleep(0.01)
                assert (await client.check({"request.path": "/"})).precondition.status.code == 0
                file.write_text(text.replace("is: a", "is: b"))
                async with asyncio.timeout(20):
                    while bench.asked("start") != ["a", "b"]:  # noqa: ASYNC110 - as above
                        await asyncio.sleep(0.01)

        run_async(main())

    def test_before_there_is_a_configuration(self, run_async):
        """A server is unavailable, so that clients ask another one."""

        async def main():
            async with (
                MixerServer("127.0.0.1:0") as server,
                grpc.aio.insecure_channel(server.address) as channel,
            ):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await Client(channel).check({})
                assert caught.value.code() is grpc.StatusCode.UNAVAILABLE

        run_async(main())

    def test_without_a_folder_it_does_not_start(self, run_async, tmp_path):
        """And says which it wants."""

        async def main():
            with pytest.raises(ConfigError, match="the configuration cannot be read"):
                async with MixerServer("127.0.0.1:0", config=tmp_path / "nope"):
                    pass

        run_async(main())

    def test_an_address_in_use(self, run_async):
        """Is named."""

        async def main():
            async with MixerServer("127.0.0.1:0") as first:
                with pytest.raises(OSError, match=first.address):
                    async with MixerServer(first.address):
                        pass

        run_async(main())


class TestMonitoring:
    """Those who watch the server."""

    def test_metrics_health_and_configuration(self, run_async, bench, served, documents):
        """At an address of its own."""

        async def main():
            bench.answers["a", "check"] = CheckAnswer(valid_duration=9.0, valid_use_count=9)
            async with (
                served(*documents, monitoring="127.0.0.1:0") as (server, client),
                aiohttp.ClientSession(f"http://{server.monitoring_address}") as http,
            ):
                for _ in range(2):
                    await client.check({"request.path": "/"})
                async with http.get("/metrics") as answer:
                    text = await answer.text()
                assert "mixer_checkcache_cache_hits_total 1.0" in text
                assert 'mixer_runtime_dispatches_total{handler="a.istio-system"} 1.0' in text
                async with http.get("/readyz") as answer:
                    assert answer.status == 200
                async with http.get("/debug/config") as answer:
                    document = await answer.json()
                assert document == {
                    "faults": [],
                    "kept": [],
                    "hints": [],
                    "handlers": [{"name": "a.istio-system", "fault": ""}],
                }

        run_async(main())


def test_what_is_of_no_use_is_told_and_no_fault(run_async, served, documents, document, caplog):
    """Once in the log, and in the status for as long as it is so; services are what is in force."""
    caplog.set_level("INFO", logger="meshregistry.mixer")
    spec = document("QuotaSpec", "s", "rules: [{quotas: [{quota: q, charge: 2}]}]")
    binding = document(
        "QuotaSpecBinding", "s", "services: [{service: '*'}]\nquotaSpecs: [{name: s}]"
    )

    def parsed(*texts):
        return [one for text in texts for one in RuleUnit.of_text("f.yaml", text).documents]

    async def main():
        async with served(*documents) as (server, _):
            assert {} == server.mixer.services.charges(AttributeBag())
            for _ in range(2):
                await server.configure(parsed(*documents, spec))
            status = server.status()
            assert () == status.faults
            assert ["f.yaml:1:1: QuotaSpec istio-system/s is bound to no service"] == [
                str(one).partition(";")[0] for one in status.hints
            ]
            await server.configure(parsed(*documents, spec, binding))
            assert () == server.status().hints
            assert {"q": 2} == server.mixer.services.charges(AttributeBag())
            mixer = server.mixer
        assert {} == mixer.services.charges(AttributeBag())

    run_async(main())
    assert 1 == sum("bound to no service" in one for one in caplog.messages)


def test_whoever_asks_whether_anybody_is_there_is_answered(run_async, served, documents):
    """However often, and without a call: Envoys ping all the time, gRPC takes that for an attack."""
    frame = struct.Struct("!I B I")
    ping, settings, goaway = 6, 4, 7

    def framed(kind, payload=b""):
        return frame.pack(len(payload) << 8 | kind, 0, 0) + payload

    async def main():
        async with served(*documents) as (server, _):
            host, _, port = server.address.rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + framed(settings))
            answered = []
            for number in range(20):
                writer.write(framed(ping, number.to_bytes(8, "big")))
                while len(answered) <= number:
                    length_and_kind, flags, _ = frame.unpack(await reader.readexactly(9))
                    payload = await reader.readexactly(length_and_kind >> 8)
                    assert length_and_kind & 0xFF != goaway, payload
                    if length_and_kind & 0xFF == ping and flags & 1:
                        answered.append(int.from_bytes(payload, "big"))
            writer.close()
            await writer.wait_closed()
            return answered

    assert [*range(20)] == run_async(main())
