"""The client of Mixer: a cached check, batches of reports, and the round trips that they save.

Traffic is made up, and as that of a mesh: callers, services, paths and agents come from
small sets, while ids, times and sizes are new with each request.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import statistics
import time
import zlib
from datetime import UTC, datetime, timedelta
from random import Random

from benchmarks.results import Benchmark, Ratio, Row
from meshregistry.mixer import (
    AttributeBag,
    ClientOptions,
    Compressor,
    MixerClient,
    Repeated,
    decode_report,
    forwarded_header,
)
from meshregistry.mixer._dictionary import Dictionary, known_words, word_at
from meshregistry.mixer.proto.mixer_v1_pb2 import (
    Attributes,
    CheckResponse,
    ReferencedAttributes,
    ReportRequest,
)

REFERRED = (
    "source.uid",
    "source.namespace",
    "destination.service.host",
    "destination.service.namespace",
    "request.method",
    "request.url_path",
    "context.protocol",
    "request.headers|x-tenant",
)
BEGIN = datetime(2024, 5, 1, tzinfo=UTC)
# Seconds that answers hold, so that nothing expires while it is measured.
HOLDS = 3_600


def request(random: Random, number: int, *, question: int, is_traced: bool = True) -> AttributeBag:
    """A request of the kind with this number: what policy looks at is the same for each kind.

    A traced one has headers with an id of 128 bits and one of 64, in hexadecimal digits, which
    no encoding makes smaller.
    """
    caller, service, path = question % 20, question // 20 % 20, question // 400
    trace = f"{random.getrandbits(128):032x}"
    host = f"service-{service}.shop.svc.cluster.local"
    return AttributeBag(
        {
            "source.uid": f"kubernetes://caller-{caller}-5d9c7b8f6d-x2x{caller}.shop",
            "source.namespace": "shop",
            "source.principal": f"cluster.local/ns/shop/sa/caller-{caller}",
            "source.ip": bytes((10, 0, 0, caller)),
            "destination.uid": f"kubernetes://service-{service}-7f6c9d8b5-a1b{service}.shop",
            "destination.ip": bytes((10, 0, 1, service)),
            "destination.port": 9080,
            "destination.service.host": host,
            "destination.service.name": f"service-{service}",
            "destination.service.namespace": "shop",
            "destination.service.uid": f"istio://shop/services/service-{service}",
            "origin.ip": bytes((10, 0, 0, caller)),
            "context.protocol": "http",
            "context.reporter.kind": "inbound",
            "context.reporter.uid": f"kubernetes://service-{service}-7f6c9d8b5-a1b{service}.shop",
            "connection.mtls": True,
            "request.method": "GET",
            "request.scheme": "http",
            "request.host": f"service-{service}:9080",
            "request.path": f"/api/v1/items/{path}?page={number % 7}",
            "request.url_path": f"/api/v1/items/{path}",
            "request.query_params": {"page": str(number % 7)},
            "request.useragent": "python-aiohttp/3.14",
            "request.time": BEGIN + timedelta(milliseconds=number),
            "request.headers": {
                ":authority": f"service-{service}:9080",
                ":method": "GET",
                ":path": f"/api/v1/items/{path}?page={number % 7}",
                "accept": "application/json",
                "accept-encoding": "gzip, deflate",
                "user-agent": "python-aiohttp/3.14",
                "x-tenant": f"tenant-{caller % 5}",
                "x-forwarded-proto": "http",
                "x-request-id": f"{trace[:8]}-{trace[8:12]}-{trace[12:16]}-{trace[16:20]}-{trace[20:]}",
                **({"x-b3-traceid": trace, "x-b3-spanid": trace[:16]} if is_traced else {}),
                "x-b3-sampled": str(int(is_traced)),
            },
        }
    )


def reported(bag: AttributeBag, random: Random, number: int) -> AttributeBag:
    """The same request when it has been served."""
    size = random.randrange(200, 20_000)
    return bag.updated(
        {
            "request.size": 0,
            "request.total_size": 612,
            "response.code": 200 if number % 50 else 503,
            "response.size": size,
            "response.total_size": size + 214,
            "response.time": BEGIN + timedelta(milliseconds=number + 7),
            "response.duration": timedelta(microseconds=random.randrange(900, 20_000)),
            "response.headers": {
                ":status": "200",
                "content-type": "application/json",
                "content-length": str(size),
                "server": "envoy",
                "x-envoy-upstream-service-time": str(number % 20),
            },
            "check.cache_hit": number % 5 != 0,
            "context.proxy_error_code": "-",
        }
    )


class Allowing:
    """A server in memory that allows everything, with answers that refer to eight attributes."""

    def __init__(self) -> None:
        self.checks = 0
        self.reports = 0
        self.report_bytes = 0
        self._answer = CheckResponse()
        said = self._answer.precondition
        said.valid_duration.seconds = HOLDS
        said.valid_use_count = -1
        dictionary = Dictionary(known_words())
        for reference in REFERRED:
            name, _, key = reference.partition("|")
            match = said.referenced_attributes.attribute_matches.add(
                name=dictionary.index(name), condition=ReferencedAttributes.EXACT
            )
            if key:
                match.map_key = dictionary.index(key)
        said.referenced_attributes.words.extend(dictionary.words)
        if (
            word_at(said.referenced_attributes.attribute_matches[-1].map_key, dictionary.words)
            is None
        ):
            raise AssertionError("the references do not name what they should")

    async def check(self, request, timeout):
        self.checks += 1
        return self._answer

    async def report(self, request, timeout, *, again):
        self.reports += 1
        self.report_bytes += request.ByteSize()

    async def close(self):
        """There is nothing to close."""


def per_call(work, count: int, rounds: int = 15) -> float:
    """The median processor time of one of `count` calls, in microseconds."""
    times = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            start = time.thread_time()
            work()
            times.append((time.thread_time() - start) / count * 1e6)
    finally:
        gc.enable()
    return statistics.median(times)


def cached_check(kinds: int = 1_000) -> Benchmark:
    """``await client.check(bag)`` that is answered by the cache, and what it is made of."""
    random = Random(1)
    bags = [request(random, number, question=number) for number in range(kinds)]
    figures = {}

    async def measure() -> None:
        async with MixerClient(transport=Allowing()) as client:
            for bag in bags:
                await client.check(bag)

            def check() -> None:
                # A coroutine that never waits is driven without a loop's rounds.
                for bag in bags:
                    try:
                        client.check(bag).send(None)
                    except StopIteration as done:
                        if not done.value.is_cache_hit:
                            raise AssertionError("it is not cached") from None
                    else:
                        raise AssertionError("a cached check does not wait")

            figures["check"] = per_call(check, kinds)

            def lookup() -> None:
                for bag in bags:
                    client.cached(bag)

            figures["lookup"] = per_call(lookup, kinds)

    asyncio.run(measure())
    figures["bag"] = per_call(
        lambda: [AttributeBag(dict(bag.entries)) for bag in bags], kinds, rounds=5
    )
    return Benchmark(
        title=f"a cached check in process, {kinds:,} answers that refer to {len(REFERRED)} attributes",
        rows=(
            Row(subject="await client.check(bag)", figures={"µs": figures["check"]}),
            Row(
                subject="client.cached(bag), without a coroutine", figures={"µs": figures["lookup"]}
            ),
            Row(subject="making a bag of 25 attributes", figures={"µs": figures["bag"]}),
        ),
        ratios=(
            Ratio(
                what="cached check in process",
                value=figures["check"],
                limit=2.0,
                is_at_most=True,
                unit="µs",
            ),
        ),
    )


def naive_bytes(bag: AttributeBag) -> int:
    """The size of a report in plain text: every name and value written out, one call for each."""
    # The header of forwarded attributes is the same message in base64.
    data = base64.b64decode(forwarded_header(bag)[1])
    return Attributes.FromString(data).ByteSize()


def report_batches(*, is_traced: bool, count: int = 5_000) -> Benchmark:
    """Reports of a service that 20 others call, in batches of 100, encoded in each way."""
    random = Random(2)
    bags = []
    for number in range(count):
        question = random.randrange(20) + 400 * (number % 5)
        asked = request(random, number, question=question, is_traced=is_traced)
        bags.append(reported(asked, random, number))
    attributes = sum(map(len, bags)) / count
    batches = [bags[start : start + 100] for start in range(0, count, 100)]
    compressor = Compressor()
    plain = sum(map(naive_bytes, bags)) / count
    rows = []
    sizes = {}

    def encode_differences() -> list[bytes]:
        return [compressor.report(each, Repeated.DELTA).SerializeToString() for each in batches]

    for name, repeated in (("differences", Repeated.DELTA), ("independent", Repeated.INDEPENDENT)):

        def encode(repeated: Repeated = repeated) -> list[bytes]:
            return [compressor.report(each, repeated).SerializeToString() for each in batches]

        data = encode()
        decoded = [
            each.bag for one in data for each in decode_report(ReportRequest.FromString(one))
        ]
        if decoded != bags:
            raise AssertionError("the reports do not survive")
        sizes[name] = sum(map(len, data)) / count
        micros = per_call(encode, count, rounds=5)
        rows.append(
            Row(
                subject=f"batches of 100, {name}",
                figures={
                    "bytes/report": sizes[name],
                    "times smaller": plain / sizes[name],
                    "µs/report": micros,
                    "attributes/s": attributes / micros * 1e6,
                },
            )
        )
    # As gRPC does it if the client is told to: each message for itself.
    zipped = [zlib.compress(one) for one in encode_differences()]
    micros = per_call(lambda: [zlib.compress(one) for one in encode_differences()], count, rounds=5)
    gzipped = sum(map(len, zipped)) / count
    rows.append(
        Row(
            subject="the first of these, gzipped",
            figures={
                "bytes/report": gzipped,
                "times smaller": plain / gzipped,
                "µs/report": micros,
                "attributes/s": attributes / micros * 1e6,
            },
        )
    )
    rows.append(
        Row(
            subject="written out, one by one",
            figures={
                "bytes/report": plain,
                "times smaller": 1,
                "µs/report": "",
                "attributes/s": "",
            },
        )
    )
    kind = "with" if is_traced else "without"
    return Benchmark(
        title=f"reports of {attributes:.0f} attributes, {kind} trace headers",
        rows=tuple(rows),
        ratios=(
            Ratio(
                what=f"bytes of a report, {kind} trace headers: written out / in a batch",
                value=plain / min(sizes.values()),
                limit=5.0,
                is_at_most=False,
            ),
            Ratio(
                what=f"bytes of a report, {kind} trace headers: written out / in a gzipped batch",
                value=plain / gzipped,
                limit=5.0,
                is_at_most=False,
            ),
        ),
        notes=(
            "a client chooses differences by itself wherever they can say a batch",
            "trace headers and ids are random: only gzip makes them smaller (compress_reports)",
        ),
    )


def round_trips(requests: int = 20_000) -> Benchmark:
    """Calls to a server for traffic of which 80 % repeats earlier questions."""
    random = Random(3)
    server = Allowing()
    kinds = requests // 5

    async def traffic() -> dict[str, int]:
        fresh = 0
        async with MixerClient(
            transport=server, options=ClientOptions(report_batch_age=60)
        ) as client:
            for number in range(requests):
                # Every fifth question is a new one; the others were asked before.
                question = number // 5 if number % 5 == 0 else random.randrange(number // 5 + 1)
                fresh += number % 5 == 0
                bag = request(random, number, question=question)
                result = await client.check(bag)
                client.report(reported(bag, random, number).updated(result.attributes))
                if number % 100 == 0:
                    await asyncio.sleep(0)
            counted = dict(client.statistics())
        if fresh != kinds or counted["total_check_calls"] != requests:
            raise AssertionError(f"not the traffic that was meant: {fresh}, {counted}")
        return counted

    counted = asyncio.run(traffic())
    calls = server.checks + server.reports
    return Benchmark(
        title=f"{requests:,} requests, 80 % of them repeat an earlier question: calls to a server",
        rows=(
            Row(
                subject="without caches and batches",
                figures={"checks": requests, "reports": requests, "calls/request": 2},
            ),
            Row(
                subject="the client",
                figures={
                    "checks": server.checks,
                    "reports": server.reports,
                    "calls/request": calls / requests,
                },
            ),
        ),
        ratios=(
            Ratio(
                what="80 % repeated: calls without / with the client",
                value=2 * requests / calls,
                limit=9.0,
                is_at_most=False,
            ),
        ),
        notes=(f"the check cache answered {counted['total_check_cache_hits']:,} checks",),
    )
