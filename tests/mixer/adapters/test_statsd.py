"""``statsd`` and ``dogstatsd`` write lines into datagrams."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from meshregistry.mixer.spi import Metric

HITS = "hits: metric {value: '1', dimensions: {to: 'destination.name | \"\"'}}"
TOOK = "took: metric {value: 'response.duration | \"0ms\"'}"
HIT, LONG = "hits.instance.ns", "took.instance.ns"


class Receiver(asyncio.DatagramProtocol):
    """Keeps datagrams."""

    def __init__(self):
        self.datagrams = asyncio.Queue()

    def datagram_received(self, data, address):
        self.datagrams.put_nowait(data.decode())

    async def next(self):
        return await self.datagrams.get()


@asynccontextmanager
async def receiver():
    """A receiver, and its address."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(Receiver, local_addr=("127.0.0.1", 0))
    try:
        yield protocol, f"127.0.0.1:{transport.get_extra_info('sockname')[1]}"
    finally:
        transport.close()


def hit(value=1, **dimensions):
    """A count."""
    return Metric(name=HIT, value=value, dimensions=dimensions)


def took(**span):
    """A duration."""
    return Metric(name=LONG, value=timedelta(**span))


class TestStatsd:
    METRICS = f"{{{HIT}: {{type: COUNTER, nameTemplate: 'hits.{{{{.to}}}}'}}, {LONG}: {{type: DISTRIBUTION}}}}"

    def test_lines_share_datagrams(self, adapters, run_async):
        """Up to a size, and after some time; names are made of dimensions."""

        async def main():
            async with receiver() as (got, address):
                params = f"{{address: '{address}', prefix: mesh, metrics: {self.METRICS}}}"
                async with adapters.running("statsd", params, (HITS, TOOK)) as (handler, context):
                    await handler.report([hit(3, to="web"), took(milliseconds=1234567.5)])
                    await context.clock.advance(0.3)
                    assert (
                        "mesh.hits.web:3|c\nmesh.took.instance.ns:1234567.5|ms" == await got.next()
                    )
                    await handler.report([hit(to="x" * 60) for _ in range(9)])
                    full = await got.next()
                    assert (6, True) == (full.count("|c"), len(full) <= 512)
                assert 3 == (await got.next()).count("|c")
                assert 11 == context.counts["lines"]

        run_async(main())

    @pytest.mark.parametrize(("size", "datagrams"), [(8, 2), (9, 1)])
    def test_a_line_break_takes_room_as_well(self, adapters, run_async, size, datagrams):
        """A datagram that is larger than it may be could be lost on its way."""

        async def main():
            async with receiver() as (got, address):
                name = f"{{{HIT}: {{type: COUNTER, nameTemplate: '{{{{.to}}}}'}}}}"
                params = f"{{address: '{address}', flushBytes: {size}, metrics: {name}}}"
                async with adapters.running("statsd", params, (HITS,)) as (handler, _):
                    await handler.report([hit(), hit()])  # each is ":1|c"
                found = [await got.next()]
                while sum(one.count("|c") for one in found) < 2:
                    found.append(await got.next())
                assert datagrams == len(found)

        run_async(main())

    def test_what_the_socket_cannot_take_is_dropped(self, adapters, run_async):
        """And counted: nothing waits without a bound for a network that is slow."""

        class Full:
            def get_write_buffer_size(self):
                return 2 << 20

            def sendto(self, data):
                pytest.fail(f"sent {data}")

            def close(self):
                pass

        async def main():
            params = f"{{flushBytes: 1, metrics: {self.METRICS}}}"
            handler, context = adapters.open("statsd", params, (HITS, TOOK))
            handler._lines._transport = Full()
            await handler.report([hit(to="web"), took(seconds=1)])
            assert {"dropped_lines": 2} == context.counts

        run_async(main())

    def test_a_value_cannot_write_lines_of_its_own(self, adapters, run_async):
        """What has a meaning in a line is replaced."""

        async def main():
            async with receiver() as (got, address):
                params = f"{{address: '{address}', flushBytes: 1, metrics: {self.METRICS}}}"
                async with adapters.running("statsd", params, (HITS, TOOK)) as (handler, _):
                    await handler.report([hit(to="a:1|c\nb@c")])
                    assert "hits.a_1_c_b_c:1|c" == await got.next()

        run_async(main())

    def test_a_gauge_below_zero_is_set_to_zero_first(self, adapters, run_async):
        """A sign alone would change it by that much; both lines share a datagram."""

        async def main():
            async with receiver() as (got, address):
                metrics = self.METRICS.replace("COUNTER", "GAUGE")
                params = f"{{address: '{address}', flushBytes: 10, metrics: {metrics}}}"
                async with adapters.running("statsd", params, (HITS, TOOK)) as (handler, _):
                    await handler.report([hit(-7, to="a"), hit(0, to="a")])
                    assert "hits.a:0|g\nhits.a:-7|g" == await got.next()
                assert "hits.a:0|g" == await got.next()

        run_async(main())

    def test_sampling_tells_the_receiver(self, adapters, run_async):
        """About that share is sent, and each line says so; a gauge cannot be multiplied."""

        async def main():
            async with receiver() as (got, address):
                gauge = self.METRICS.replace("COUNTER", "GAUGE")
                for metrics, line in ((self.METRICS, "hits.:1|c|@0.25"), (gauge, "hits.:1|g")):
                    params = (
                        f"{{address: '{address}', samplingRate: 0.25, flushBytes: 60000, "
                        f"metrics: {metrics}}}"
                    )
                    async with adapters.running("statsd", params, (HITS, TOOK)) as (handler, _):
                        await handler.report([hit() for _ in range(1000)])
                    lines = (await got.next()).split("\n")
                    assert {line} == set(lines)
                    assert 200 < len(lines) < 300

        run_async(main())

    def test_a_receiver_that_cannot_be_found_is_looked_for_again(
        self, adapters, run_async, monkeypatch
    ):
        """Meanwhile lines are dropped and counted, and no call fails."""

        async def main():
            async with receiver() as (got, address):
                loop = asyncio.get_running_loop()
                real = loop.create_datagram_endpoint

                async def fail(*_, **__):
                    raise OSError("no such host")

                monkeypatch.setattr(loop, "create_datagram_endpoint", fail)
                params = f"{{address: '{address}', flushBytes: 1, metrics: {self.METRICS}}}"
                async with adapters.running("statsd", params, (HITS, TOOK)) as (handler, context):
                    await handler.report([hit()])
                    assert {"send_errors": 1, "dropped_lines": 1} == context.counts
                    monkeypatch.setattr(loop, "create_datagram_endpoint", real)
                    await context.clock.advance(5)
                    await handler.report([hit(to="b")])
                    assert "hits.b:1|c" == await got.next()

        run_async(main())

    @pytest.mark.parametrize(
        ("params", "fault"),
        [
            ("address: nowhere", "address: 'nowhere' is no address"),
            ("samplingRate: 0", "samplingRate: must be more than 0"),
            ("metrics: {}", "metrics: rules send hits.instance.ns here"),
            (f"metrics: {{{HIT}: {{}}}}", "metrics: hits.instance.ns has no type"),
            (
                f"metrics: {{{HIT}: {{type: COUNTER, nameTemplate: '{{{{.no}}}}'}}}}",
                "metrics: no dimension",
            ),
            (
                f"metrics: {{{HIT}: {{type: COUNTER, nameTemplate: '{{{{if .to}}}}'}}}}",
                "metrics: has a place that is none",
            ),
        ],
    )
    def test_faults_of_the_configuration(self, adapters, params, fault):
        """At their fields."""
        plan, faults = adapters.plan("statsd", f"{{{params}}}", (HITS,))
        assert plan is None
        field, _, reason = fault.rpartition(": ")
        assert faults[0].startswith(f"spec.params.{field}")
        assert reason in faults[0]

    def test_a_duration_is_no_counter(self, adapters):
        """The types of values go with what becomes of them."""
        metrics = f"{{metrics: {{{LONG}: {{type: COUNTER}}}}}}"
        _, (fault,) = adapters.plan("statsd", metrics, (TOOK,))
        assert "the value of took.instance.ns must be INT64 for a COUNTER" in fault


class TestDogstatsd:
    METRICS = f"{{{HIT}: {{name: hits, type: COUNTER, tags: {{to: static, own: 'yes'}}}}}}"

    def test_dimensions_are_tags(self, adapters, run_async):
        """They come before static ones, and these before global ones; each line goes at once."""

        async def main():
            async with receiver() as (got, address):
                params = (
                    f"{{address: '{address}', globalTags: {{own: 'no', all: x}}, "
                    f"metrics: {self.METRICS}}}"
                )
                async with adapters.running("dogstatsd", params, (HITS,)) as (handler, _):
                    await handler.report([hit(2, to="a,b|c#d:e"), hit(to="w")])
                    assert "istio.hits:2|c|#all:x,own:yes,to:a_b_c_d:e" == await got.next()
                    assert "istio.hits:1|c|#all:x,own:yes,to:w" == await got.next()

        run_async(main())

    @pytest.mark.parametrize(
        ("to", "line"), [("", "istio.hits:1|c|#own:yes"), ("w", "istio.hits:1|c|#own:yes,to:w")]
    )
    def test_tags_without_a_value_are_left_out(self, adapters, run_async, to, line):
        """Receivers may refuse a line with one; an empty dimension hides a static tag all the same."""

        async def main():
            async with receiver() as (got, address):
                params = (
                    f"{{address: '{address}', globalTags: {{all: ''}}, metrics: {self.METRICS}}}"
                )
                async with adapters.running("dogstatsd", params, (HITS,)) as (handler, _):
                    await handler.report([hit(to=to)])
                    assert line == await got.next()

        run_async(main())

    def test_a_line_without_any_tag_has_no_mark_of_tags(self, adapters, run_async):
        """Also where the only one is empty; a gauge below zero is set to zero first."""

        async def main():
            async with receiver() as (got, address):
                metrics = f"{{{HIT}: {{name: h, type: GAUGE}}}}"
                params = f"{{address: '{address}', metrics: {metrics}}}"
                async with adapters.running("dogstatsd", params, (HITS,)) as (handler, _):
                    await handler.report([hit(-2, to=""), hit(-2, to="w")])
                    assert "istio.h:0|g\nistio.h:-2|g" == await got.next()
                    assert "istio.h:0|g|#to:w\nistio.h:-2|g|#to:w" == await got.next()

        run_async(main())

    def test_a_buffer_joins_lines(self, adapters, run_async):
        """So many, or those of a tenth of a second."""

        async def main():
            async with receiver() as (got, address):
                params = f"{{address: '{address}', bufferLength: 2, metrics: {self.METRICS}}}"
                async with adapters.running("dogstatsd", params, (HITS,)) as (handler, context):
                    await handler.report([hit() for _ in range(3)])
                    assert 2 == (await got.next()).count("|c")
                    await context.clock.advance(0.1)
                    assert 1 == (await got.next()).count("|c")

        run_async(main())

    def test_distributions(self, adapters, run_async):
        """Durations are timings, numbers are histograms."""

        async def main():
            async with receiver() as (got, address):
                metrics = f"{{{HIT}: {{name: h, type: DISTRIBUTION}}, {LONG}: {{name: t, type: DISTRIBUTION}}}}"
                params = f"{{address: '{address}', prefix: p, metrics: {metrics}}}"
                async with adapters.running("dogstatsd", params, (HITS, TOOK)) as (handler, _):
                    await handler.report([hit(7), took(seconds=1)])
                    assert ["p.h:7|h", "p.t:1000|ms"] == [await got.next(), await got.next()]

        run_async(main())

    @pytest.mark.parametrize(
        ("params", "fault"),
        [
            ("address: ':0'", "is no address"),
            ("bufferLength: -1", "must not be negative"),
            ("metrics: {}", "nothing says what becomes of it"),
            (f"metrics: {{{HIT}: {{type: COUNTER}}}}", "has no name"),
            (
                f"metrics: {{{HIT}: {{name: h, type: COUNTER}}, o: {{name: o, type: GAUGE}}}}",
                "no rule sends o here",
            ),
        ],
    )
    def test_faults_of_the_configuration(self, adapters, params, fault):
        """Found before anything is opened."""
        plan, faults = adapters.plan("dogstatsd", f"{{{params}}}", (HITS,))
        assert plan is None
        assert fault in "; ".join(faults)
