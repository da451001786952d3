"""The server of Mixer: a check over gRPC beside a raw echo, and expressions evaluated."""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import grpc
from attrs import define, field

from benchmarks.mixer import per_call, request
from benchmarks.results import Benchmark, Ratio, Row
from meshregistry.mixer import GLOBAL_WORDS, Compressor
from meshregistry.mixer.expressions import (
    PlainAttributes,
    TrackedAttributes,
    compile_expression,
)
from meshregistry.mixer.proto.mixer_v1_pb2 import CheckRequest, CheckResponse
from meshregistry.mixer.vocabulary import STANDARD
from servers.lines import LineProcess, cpu_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from meshregistry.mixer.expressions import Attributes

ECHO, CACHED, ASKED = "raw echo", "check, from the server's cache", "check, every rule evaluated"
SUBJECTS = {ECHO: "echo", CACHED: "100000", ASKED: "0"}
CALLS = 1_500
ROUNDS = 9
# Calls under way at a time: as many as keep the server busy.
SIDE_BY_SIDE = 16
# Attributes that the configuration of the subject reads.
READ = 10
METHOD = "/istio.mixer.v1.Mixer/Check"
ORIGINAL = (0.3, 1.0)
"""Microseconds that the original's documentation gives for one expression."""


@define
class Lane:
    """One server and what its rounds took."""

    subject: str
    server: LineProcess
    channel: grpc.aio.Channel
    call: grpc.aio.UnaryUnaryMultiCallable
    answer_bytes: int = 0
    one_by_one: list[float] = field(factory=list)
    together: list[float] = field(factory=list)
    cpu: list[float] = field(factory=list)

    async def round(self, bodies: Sequence[bytes]) -> None:
        """Send all, first one by one and then side by side."""
        start = time.perf_counter()
        for body in bodies:
            await self.call(body)
        self.one_by_one.append((time.perf_counter() - start) / len(bodies) * 1e6)
        cpu = cpu_seconds(self.server.pid)
        start = time.perf_counter()
        waiting = iter(bodies)

        async def work() -> None:
            for body in waiting:
                await self.call(body)

        await asyncio.gather(*(work() for _ in range(SIDE_BY_SIDE)))
        self.together.append(len(bodies) / (time.perf_counter() - start))
        self.cpu.append((cpu_seconds(self.server.pid) - cpu) / len(bodies) * 1e6)

    def forget(self) -> None:
        """Leave out what was measured so far."""
        for listed in (self.one_by_one, self.together, self.cpu):
            listed.clear()

    def row(self, echo: Lane) -> Row:
        """Its line."""
        return Row(
            subject=self.subject,
            figures={
                "µs, one by one": statistics.median(self.one_by_one),
                "of the echo's calls": _times(echo.one_by_one, self.one_by_one),
                f"calls/s, {SIDE_BY_SIDE} at a time": statistics.median(self.together),
                "of the echo's": _times(self.together, echo.together),
                "µs of the server": statistics.mean(self.cpu),
                "bytes back": self.answer_bytes,
            },
        )


@contextmanager
def on_cores(cores: set[int]) -> Iterator[None]:
    """Run on these cores; so do processes and threads that are started meanwhile."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def bodies(count: int) -> list[bytes]:
    """Requests of 25 attributes and 100 kinds, as a client sends them."""
    random, compressor = Random(4), Compressor()
    found = []
    for number in range(count):
        message = CheckRequest(
            attributes=compressor.attributes(request(random, number, question=number % 100)),
            global_word_count=len(GLOBAL_WORDS),
            deduplication_id=f"{number}",
        )
        found.append(message.SerializeToString())
    return found


async def check_over_grpc() -> Benchmark:
    """The same client and the same bytes against each server; the rounds are interleaved."""
    sent = bodies(CALLS)
    # Otherwise both ends chase each other over the cores, and it is that which is measured.
    for_servers, *_, for_client = [{core} for core in sorted(os.sched_getaffinity(0)) * 2]
    async with AsyncExitStack() as stack:
        stack.enter_context(on_cores(for_client))
        lanes = []
        for subject, argument in SUBJECTS.items():
            command = (sys.executable, "-m", "benchmarks.subjects.mixer_server", argument)
            environment = {"PYTHONPATH": str(Path(__file__).parent.parent)}
            with on_cores(for_servers):
                server = await stack.enter_async_context(
                    LineProcess(*command, environment=environment)
                )
            address = (await server.read()).split()[1]
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
            lane = Lane(subject, server, channel, channel.unary_unary(METHOD))
            answer = await lane.call(sent[0])
            lane.answer_bytes = len(answer)
            if argument != "echo":
                _check_answer(answer)
            await lane.round(sent[:200])
            lanes.append(lane)
        for lane in lanes:
            # The first round finds nothing in the cache, and connections that are new.
            await lane.round(sent[:200])
            lane.forget()
        for number in range(ROUNDS):
            for lane in lanes if number % 2 else reversed(lanes):
                await lane.round(sent)
    echo = lanes[0]
    return Benchmark(
        title=f"checks of 25 attributes over gRPC ({len(sent[0]):,} bytes), one client",
        rows=tuple(lane.row(echo) for lane in lanes),
        ratios=tuple(
            Ratio(
                what=f"{lane.subject}: {how}, of a raw echo's",
                value=value,
                limit=0.85,
                is_at_most=False,
            )
            for lane in lanes
            if lane.subject == CACHED
            for how, value in (
                ("calls a second one by one", _times(echo.one_by_one, lane.one_by_one)),
                ("calls a second side by side", _times(lane.together, echo.together)),
            )
        ),
        notes=(
            "the echo gives back what it is sent and looks at nothing; each end has a core of its own",
            "the target is for answers that are looked up: what rules cost depends on the rules",
        ),
    )


def _times(one: Sequence[float], other: Sequence[float]) -> float:
    """The median of the ratios of rounds that followed each other."""
    return statistics.median(a / b for a, b in zip(one, other, strict=True))


def _check_answer(data: bytes) -> None:
    said = CheckResponse.FromString(data).precondition
    operations = said.route_directive.request_header_operations
    read = said.referenced_attributes.attribute_matches
    if said.status.code or len(operations) != 1 or len(read) != READ:
        raise AssertionError(f"not the answer that was meant: {said}")


EXPRESSIONS = (
    'request.method == "GET"',
    'source.labels["app"] | "unknown"',
    'request.headers["x-tenant"] == "tenant-1" && request.method == "GET"',
    'match(destination.service.host, "*.svc.cluster.local")',
    'conditional((context.reporter.kind | "inbound") == "outbound", "source", "destination")',
    '"^/api/v[0-9]+/items/[0-9]+$".matches(request.url_path)',
    'source.ip | ip("0.0.0.0")',
    'destination.service.host | request.host | "unknown"',
)


def expressions(count: int = 2_000) -> Benchmark:
    """Expressions as configurations have them, with and without references for caches."""
    random = Random(5)
    bags = [request(random, number, question=number) for number in range(count)]
    plain = [PlainAttributes(bag.entries) for bag in bags]
    rows, all_plain, all_tracked = [], [], []
    for text in EXPRESSIONS:
        tracked = [TrackedAttributes(bag.entries) for bag in bags]
        micros, with_references = _evaluations(text, plain), _evaluations(text, tracked)
        all_plain.append(micros)
        all_tracked.append(with_references)
        rows.append(
            Row(
                subject=text,
                figures={
                    "µs": micros,
                    "evaluations/s": 1e6 / micros,
                    "µs with references": with_references,
                },
            )
        )
    low, high = ORIGINAL
    return Benchmark(
        title="expressions evaluated, one thread",
        rows=tuple(rows),
        ratios=(
            Ratio(
                what="an expression, median of these",
                value=statistics.median(all_plain),
                limit=high,
                is_at_most=True,
                unit="µs",
            ),
            Ratio(
                what="an expression with references, median of these",
                value=statistics.median(all_tracked),
                limit=high,
                is_at_most=True,
                unit="µs",
            ),
        ),
        notes=(f"published for the original, in Go: {low} to {high} µs",),
    )


def _evaluations(text: str, attributes: Sequence[Attributes]) -> float:
    evaluate = compile_expression(text, STANDARD).evaluate
    return per_call(lambda: [evaluate(one) for one in attributes], len(attributes))
