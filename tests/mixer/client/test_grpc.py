"""The transport over real gRPC: a Mixer server of the test's own, on the loopback."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest

from meshregistry.errors import ConfigError
from meshregistry.mixer import (
    FORWARDED_HEADER,
    AttributeBag,
    CallFailed,
    ClientOptions,
    Compressor,
    FailPolicy,
    GrpcTransport,
    MixerClient,
    MixerTls,
    decode_attributes,
    decode_report,
    read_forwarded,
)
from meshregistry.mixer.proto.mixer_v1_pb2 import (
    CheckRequest,
    CheckResponse,
    ReportRequest,
    ReportResponse,
)
from meshregistry.testing import TcpProxy, free_port

BAG = AttributeBag({"request.path": "/a"})


class Mixer:
    """A server written from the tables: raw method names, messages as they are."""

    def __init__(self):
        self.checks, self.reports, self.metadata = [], [], []
        self.status = None
        self.hold = None
        self.answer = CheckResponse()
        self.answer.precondition.valid_use_count = 1

    async def check(self, data, context):
        self.metadata.append(dict(context.invocation_metadata()))
        self.checks.append(CheckRequest.FromString(data))
        await self._fail(context)
        return self.answer.SerializeToString()

    async def report(self, data, context):
        self.reports.append(ReportRequest.FromString(data))
        await self._fail(context)
        return ReportResponse().SerializeToString()

    async def _fail(self, context):
        if self.hold is not None:
            await self.hold.wait()
        if self.status is not None:
            await context.abort(*self.status)

    @asynccontextmanager
    async def serving(self, address="127.0.0.1:0", credentials=None):
        """Its address."""
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        methods = {
            "Check": grpc.unary_unary_rpc_method_handler(self.check),
            "Report": grpc.unary_unary_rpc_method_handler(self.report),
        }
        handler = grpc.method_handlers_generic_handler("istio.mixer.v1.Mixer", methods)
        server.add_generic_rpc_handlers((handler,))
        if credentials is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, credentials)
        await server.start()
        try:
            yield f"{'127.0.0.1' if credentials is None else 'localhost'}:{port}"
        finally:
            await server.stop(None)


@pytest.fixture
def nobody():
    """An address where nobody listens, and nobody else can while the test runs."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture
def silent():
    """An address where connections are accepted by the system and nobody ever answers."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield f"127.0.0.1:{held.getsockname()[1]}"


def test_check_and_report_reach_a_server(run_async):
    """Attributes, who asks, and under which authority, as the protocol has them."""
    mixer = Mixer()

    async def main():
        identity = AttributeBag({"source.uid": "kubernetes://me.shop"})
        async with (
            mixer.serving() as address,
            MixerClient(address, identity=identity) as client,
        ):
            result = await client.check(BAG)
            client.report(BAG)
            client.report(BAG.updated({"response.code": 200}))
        return result

    assert run_async(main()).is_allowed
    (request,) = mixer.checks
    assert BAG == decode_attributes(request.attributes).bag
    (batch,) = mixer.reports
    assert [BAG, BAG.updated({"response.code": 200})] == [each.bag for each in decode_report(batch)]
    forwarded = read_forwarded(mixer.metadata[0][FORWARDED_HEADER])
    assert {"source.uid": "kubernetes://me.shop"} == dict(forwarded)


def test_the_next_server_is_asked_if_one_is_down(run_async, nobody):
    """Under the same id, and the dead one is not asked first again soon."""
    mixer = Mixer()

    async def main():
        async with (
            mixer.serving() as address,
            MixerClient([nobody, address], options=ClientOptions(check_cache_size=0)) as client,
        ):
            results = [await client.check(BAG) for _ in range(2)]
            order = client._transport._failover.order(client._clock.now())
            client.report(BAG)
            return results, order

    results, order = run_async(main())
    assert [None, None] == [result.failure for result in results]
    assert [1, 0] == order
    assert (2, 1) == (len(mixer.checks), len(mixer.reports))


def test_a_silent_server_costs_its_share_of_the_time_only(run_async, silent):
    """Then the next one is asked."""
    mixer = Mixer()

    async def main():
        async with mixer.serving() as address, MixerClient([silent, address]) as client:
            # Half of it is for either; no more than a connection takes on a busy machine.
            return await client.check(BAG, timeout=3.0)

    assert run_async(main()).failure is None


def test_reports_may_be_compressed(run_async):
    """They arrive as they were, in far fewer bytes; checks are small, and are not."""
    mixer = Mixer()
    bags = [AttributeBag({"request.id": f"{number:032x}"}) for number in range(500)]

    async def sent(address, options):
        host, port = address.split(":")
        async with TcpProxy(host, int(port)) as proxy:
            client = MixerClient(f"{proxy.host}:{proxy.port}", options=options)
            async with client:
                for bag in bags:
                    client.report(bag)
            return proxy.bytes_up

    async def main():
        async with mixer.serving() as address:
            plain = await sent(address, ClientOptions())
            compressed = await sent(address, ClientOptions(compress_reports=True))
        return plain, compressed

    plain, compressed = run_async(main())
    assert compressed < plain / 2
    found = [decoded.bag for report in mixer.reports for decoded in decode_report(report)]
    assert sorted(found[500:], key=repr) == sorted(found[:500], key=repr) == bags


def test_a_server_that_cannot_decompress_gets_reports_as_they_are(run_async):
    """From the first refusal on; nothing is lost by it."""
    mixer = Mixer()

    async def refuse(context):
        if len(mixer.reports) == 1:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "no decompressor")

    async def main():
        mixer._fail = refuse
        options = ClientOptions(compress_reports=True)
        async with mixer.serving() as address, MixerClient(address, options=options) as client:
            for _ in range(2):
                client.report(BAG)
                await client.flush()
            return client.statistics()["total_remote_report_successes"]

    assert run_async(main()) == 2
    assert len(mixer.reports) == 3


def test_a_server_that_takes_no_report_says_nothing_of_gzip(run_async):
    """As behind a proxy while it starts: once it is there, reports are compressed."""
    mixer = Mixer()
    mixer.status = grpc.StatusCode.UNIMPLEMENTED, ""

    async def main():
        async with mixer.serving() as address:
            host, port = address.split(":")
            async with TcpProxy(host, int(port)) as proxy:
                transport = GrpcTransport([f"{proxy.host}:{proxy.port}"], compress_reports=True)
                request = Compressor().report([AttributeBag({"request.path": "a" * 10_000})])
                with pytest.raises(CallFailed):
                    await transport.report(request, 5.0, again=True)
                mixer.status = None
                before = proxy.bytes_up
                await transport.report(request, 5.0, again=True)
                await transport.close()
                return proxy.bytes_up - before

    assert run_async(main()) < 1_000
    assert len(mixer.reports) == 3


def test_without_any_server_the_failure_says_that_nothing_was_sent(run_async, nobody, silent):
    """Which is what lets a report be sent again; a name without a host is the same."""

    async def failure(server, timeout):
        transport = GrpcTransport([server])
        try:
            with pytest.raises(CallFailed) as caught:
                await transport.report(ReportRequest(), timeout, again=False)
        finally:
            await transport.close()
        return caught.value.code, caught.value.is_sent

    async def main():
        return await failure(nobody, 5.0), await failure(silent, 0.1)

    assert ((14, False), (4, False)) == run_async(main())


def test_a_report_that_may_have_arrived_goes_to_nobody_else(run_async):
    """Unless that was asked for; a check always does, since it carries an id."""
    first, second = Mixer(), Mixer()
    first.status = (grpc.StatusCode.UNAVAILABLE, "overloaded")

    async def main():
        async with first.serving() as one, second.serving() as two:
            transport = GrpcTransport([one, two])
            with pytest.raises(CallFailed, match="overloaded") as caught:
                await transport.report(ReportRequest(), 5.0, again=False)
            counts = [len(second.reports)]
            # The first one has a pause now; a new transport knows nothing of it.
            other = GrpcTransport([one, two])
            await other.report(ReportRequest(), 5.0, again=True)
            counts.append(len(second.reports))
            third = GrpcTransport([one, two])
            await third.check(CheckRequest(deduplication_id="x"), 5.0)
            for each in (transport, other, third):
                await each.close()
            return caught.value.is_sent, counts

    assert (True, [0, 1]) == run_async(main())
    assert ["x"] == [each.deduplication_id for each in second.checks]


def test_an_error_that_is_an_answer_goes_to_nobody_else(run_async):
    """Another server would say the same."""
    first, second = Mixer(), Mixer()
    first.status = (grpc.StatusCode.INTERNAL, "adapter failed")

    async def main():
        async with first.serving() as one, second.serving() as two:
            transport = GrpcTransport([one, two])
            with pytest.raises(CallFailed) as caught:
                await transport.check(CheckRequest(), 5.0)
            await transport.close()
            return caught.value.code

    assert (13, []) == (run_async(main()), second.checks)


def test_the_deadline_reaches_the_call(run_async):
    """A server that takes too long is a failure in time."""
    mixer = Mixer()

    async def main():
        mixer.hold = asyncio.Event()
        async with mixer.serving() as address, MixerClient(address) as client:
            result = await client.check(BAG, timeout=0.1)
            mixer.hold.set()
            return result, client.statistics()["total_remote_call_timeouts"]

    result, timeouts = run_async(main())
    assert ("DEADLINE_EXCEEDED" in result.failure, 1) == (True, timeouts)


def test_closing_ends_checks_under_way_by_their_policy(run_async):
    """Whoever waits for one is not cancelled with it."""
    mixer = Mixer()

    async def main():
        mixer.hold = asyncio.Event()
        async with mixer.serving() as address:
            async with MixerClient(address) as client:
                asking = asyncio.create_task(client.check(BAG, fail_policy=FailPolicy.CLOSED))
                while not mixer.checks:  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0.01)
            result = await asking
            mixer.hold.set()
            return result

    result = run_async(main())
    assert (1, "the client was closed") == (result.status.code, result.status.message)


def test_closing_lets_no_check_try_again(run_async):
    """Even one that may: it would open a connection that nobody closes."""
    mixer = Mixer()

    async def main():
        mixer.hold = asyncio.Event()
        options = ClientOptions(retries=3)
        async with mixer.serving() as address:
            async with MixerClient(address, options=options) as client:
                asking = asyncio.create_task(client.check(BAG, fail_policy=FailPolicy.CLOSED))
                while not mixer.checks:  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0.01)
            result = await asking
            mixer.hold.set()
            transport = GrpcTransport([address])
            await transport.close()
            with pytest.raises(CallFailed, match="the client was closed") as caught:
                await transport.check(CheckRequest(), 5.0)
            return result, caught.value.is_sent, client.statistics()["total_remote_call_retries"]

    result, is_sent, retries = run_async(main())
    assert (1, False, 0) == (result.status.code, is_sent, retries)
    assert 1 == len(mixer.checks)


def test_reports_are_kept_until_a_server_is_there(run_async, nobody):
    """And sent then, though nobody listened when they were made."""
    mixer = Mixer()
    options = ClientOptions(report_batch_age=0.0, drain_timeout=20.0)

    async def main():
        address = f"127.0.0.1:{free_port()}"
        async with MixerClient(address, options=options) as client:
            client.report(BAG)
            while not client.statistics()["total_remote_report_send_errors"]:  # noqa: ASYNC110 - it has no event - nothing tells
                await asyncio.sleep(0.01)
            async with mixer.serving(address):
                await client.flush()
            return client.statistics()

    counted = run_async(main())
    assert (1, 1) == (len(mixer.reports), counted["total_reports_sent"])


def test_an_outage_is_survived(run_async, answer):
    """Cached answers stay, denials too; the rest goes by the policy; reports are sent later."""
    mixer = Mixer()
    mixer.answer = answer("request.path", code=7)
    options = ClientOptions(
        fail_policy=FailPolicy.CLOSED, report_batch_age=0.0, report_queue_size=50, drain_timeout=20
    )

    async def settled(client, count):
        while client.statistics()["total_reports_sent"] < count:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)

    async def main():
        async with contextlib.AsyncExitStack() as stack:
            async with mixer.serving(f"127.0.0.1:{free_port()}") as address:
                client = await stack.enter_async_context(MixerClient(address, options=options))
                await client.check(BAG)
                client.report(BAG)
                await settled(client, 1)
            # The server is gone.
            known = [await client.check(BAG) for _ in range(20)]
            unknown = [
                await client.check(BAG.updated({"request.path": f"/{number}"}))
                for number in range(20)
            ]
            for _ in range(60):
                client.report(BAG)
            while not client.statistics()["total_remote_report_send_errors"]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            lost = client.statistics()
            async with mixer.serving(address):
                await client.flush()
                back = await client.check(BAG.updated({"request.path": "/new"}))
                return known, unknown, lost, back, client.statistics()

    known, unknown, lost, back, counted = run_async(main())
    assert [(7, None)] * 20 == [(each.status.code, each.failure) for each in known]
    assert [14] * 20 == [each.status.code for each in unknown]
    assert (7, None) == (back.status.code, back.failure)
    dropped = lost["total_reports_dropped_full"] + lost["total_reports_dropped_doubtful"]
    # The queue holds 50; what was sent into the closing connection is doubtful at most.
    assert 10 <= dropped
    assert (
        61
        == counted["total_reports_sent"]
        + counted["total_reports_dropped_full"]
        + counted["total_reports_dropped_doubtful"]
    )
    assert counted["total_reports_sent"] == sum(len(batch.attributes) for batch in mixer.reports)
    assert counted["total_reports_sent"] >= 50


def test_a_client_needs_a_server():
    """It is told when it is made."""
    with pytest.raises(ConfigError, match="there is no server; give one address or several"):
        MixerClient([])


@pytest.mark.parametrize("server", ["9091", "mixer", "http://mixer:9091", "https://mixer:9091"])
def test_a_server_has_an_address(server):
    """With a port; else gRPC would look for a host of this name as long as the client lives."""
    with pytest.raises(ConfigError, match=f"servers: '{server}' is no address; write host:port"):
        MixerClient(["one:9091", server])


def test_both_sides_show_certificates(run_async, authority):
    """The server's name may be another one than its address."""
    mixer = Mixer()
    certificate, key = authority.issue("mixer.shop")
    own_certificate, own_key = authority.issue("client")
    credentials = grpc.ssl_server_credentials(
        [(key, certificate)], authority.root, require_client_auth=True
    )
    tls = MixerTls(
        ca=authority.root, certificate=own_certificate, key=own_key, server_name="mixer.shop"
    )
    assert own_key.decode() not in repr(tls)

    async def main():
        async with (
            mixer.serving("localhost:0", credentials) as address,
            MixerClient(address, tls=tls) as client,
        ):
            return await client.check(BAG)

    assert run_async(main()).failure is None


def test_a_server_of_another_authority_is_not_believed(run_async, authority, tmp_path):
    """Until the file of authorities has changed: it is read again after a failure."""
    mixer = Mixer()
    certificate, key = authority.issue("localhost")
    credentials = grpc.ssl_server_credentials([(key, certificate)])

    async def main(path):
        async with mixer.serving("localhost:0", credentials) as address:
            options = ClientOptions(timeout=10.0, check_cache_size=0)
            async with MixerClient(address, tls=MixerTls(ca=path), options=options) as client:
                first = await client.check(BAG)
                path.write_bytes(authority.root)
                async with asyncio.timeout(20):
                    # Not for every failure: a second passes before it is read again.
                    while (await client.check(BAG)).failure is not None:  # noqa: ASYNC110 - nothing tells
                        await asyncio.sleep(0.01)
                return first

    path = tmp_path / "ca.pem"
    path.write_bytes(type(authority)().root)
    assert run_async(main(path)).failure is not None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"certificate": b"-----BEGIN "}, "tls.key: a certificate needs its key"),
        ({"key": b"-----BEGIN "}, "tls.certificate: a certificate needs its key"),
        ({"ca": b"nothing"}, "tls.ca: it is not PEM"),
        ({"ca": "/does/not/exist"}, "/does/not/exist: tls.ca: it cannot be read"),
    ],
)
def test_wrong_certificates_are_told_when_the_client_is_made(arguments, words):
    """With the file, the field and the remedy."""
    with pytest.raises(ConfigError) as caught:
        MixerClient("localhost:1", tls=MixerTls(**arguments))
    assert words in str(caught.value)
