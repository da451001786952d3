"""The interceptor of grpc.aio: all four kinds of methods, over the loopback."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

import grpc
import grpc.aio
import pytest

from meshregistry.mixer import AttributeBag, MixerClient, MixerInterceptor, forwarded_header
from meshregistry.mixer.client._interceptor import _address


async def once(request, context):
    """Doubles a message."""
    return request * 2


async def failing(request, context):
    """Ends with a status."""
    await context.abort(grpc.StatusCode.NOT_FOUND, "gone")


async def many(request, context):
    """Gives a message three times."""
    for _ in range(3):
        yield request


async def written(request, context):
    """Gives a message twice, by writing."""
    for _ in range(2):
        await context.write(request)


async def collected(requests, context):
    """Joins messages."""
    return b"".join([each async for each in requests])


async def mirrored(requests, context):
    """Gives back each message."""
    async for each in requests:
        yield each


def plain(request, context):
    """A function that is no coroutine."""
    return request


async def broken(request, context):
    """Has a fault."""
    raise OSError("disk")


async def half(request, context):
    """Has a fault after a message."""
    yield request
    raise OSError("disk")


async def coded(request, context):
    """Has a fault, and has said which."""
    context.set_code(grpc.StatusCode.DATA_LOSS)
    raise OSError("disk")


async def endless(request, context):
    """Never answers."""
    await asyncio.Event().wait()


METHODS = {
    "Once": grpc.unary_unary_rpc_method_handler(once),
    "Fail": grpc.unary_unary_rpc_method_handler(failing),
    "Broken": grpc.unary_unary_rpc_method_handler(broken),
    "Half": grpc.unary_stream_rpc_method_handler(half),
    "Coded": grpc.unary_unary_rpc_method_handler(coded),
    "Endless": grpc.unary_unary_rpc_method_handler(endless),
    "Many": grpc.unary_stream_rpc_method_handler(many),
    "Written": grpc.unary_stream_rpc_method_handler(written),
    "Collected": grpc.stream_unary_rpc_method_handler(collected),
    "Mirrored": grpc.stream_stream_rpc_method_handler(mirrored),
    "Plain": grpc.unary_unary_rpc_method_handler(plain),
    "Text": grpc.unary_unary_rpc_method_handler(
        once, request_deserializer=bytes.decode, response_serializer=str.encode
    ),
}


@pytest.fixture
def serve(transport, run_async):
    """Runs ``main(channel)`` against a server with the interceptor; its result and reports."""

    def run(main, credentials=None, **arguments):
        @asynccontextmanager
        async def serving():
            async with MixerClient(transport=transport) as client:
                interceptor = MixerInterceptor(client, **arguments)
                server = grpc.aio.server(interceptors=[interceptor])
                handler = grpc.method_handlers_generic_handler("test.Service", METHODS)
                server.add_generic_rpc_handlers((handler,))
                if credentials is None:
                    port = server.add_insecure_port("127.0.0.1:0")
                    channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
                else:
                    port = server.add_secure_port("localhost:0", credentials[0])
                    channel = grpc.aio.secure_channel(f"localhost:{port}", credentials[1])
                await server.start()
                try:
                    async with channel:
                        yield channel
                finally:
                    await server.stop(1.0)

        async def all_of_it():
            async with serving() as channel:
                return await main(channel)

        result = run_async(all_of_it())
        return result, [bag for batch in transport.reports for bag in batch]

    return run


def test_a_call_is_checked_and_reported(serve, transport):
    """With its method as the path, its metadata as headers, and who called."""

    async def main(channel):
        return await channel.unary_unary("/test.Service/Once")(b"abc", metadata=[("x-a", "1")])

    result, (report,) = serve(main, attributes={"destination.service.host": "test.mesh"})
    assert b"abcabc" == result
    (checked,) = transport.bags
    assert ("/test.Service/Once", "POST", "grpc", b"\x7f\0\0\x01", "test.mesh", False) == tuple(
        checked[name]
        for name in (
            "request.path",
            "request.method",
            "context.protocol",
            "origin.ip",
            "destination.service.host",
            "connection.mtls",
        )
    )
    assert "1" == checked["request.headers"]["x-a"]
    assert (200, "0", 3, 6, False) == tuple(
        report[name]
        for name in (
            "response.code",
            "response.grpc_status",
            "request.size",
            "response.size",
            "check.cache_hit",
        )
    )
    assert timedelta(0) <= report["response.duration"] < timedelta(minutes=1)


def test_a_denied_call_ends_with_its_status(serve, transport, answer):
    """The method is not called, and the report has the code."""
    transport.answer = answer(code=7, message="not you")
    transport.answer.precondition.route_directive.response_header_operations.add(
        name="x-why", value="rule"
    )

    async def main(channel):
        call = channel.unary_unary("/test.Service/Once")(b"abc")
        metadata = dict(await call.initial_metadata())
        return await call.code(), await call.details(), metadata["x-why"]

    result, (report,) = serve(main)
    assert (grpc.StatusCode.PERMISSION_DENIED, "not you", "rule") == result
    assert ("7", "not you", 7) == (
        report["response.grpc_status"],
        report["response.grpc_message"],
        report["check.error_code"],
    )


@pytest.mark.parametrize(
    ("operations", "sent"),
    [
        ([("x-a", "1", 0), ("x-a", "2", 0)], [("x-a", "2")]),
        ([("x-a", "1", 0), ("x-a", "2", 2)], [("x-a", "1"), ("x-a", "2")]),
        ([("x-a", "1", 0), ("x-a", "1", 1)], []),
        ([("x-a-bin", "ä", 0)], [("x-a-bin", "ä".encode())]),
        ([("x-a", "ä", 0), ("x-b", "1", 0)], [("x-b", "1")]),
        ([("x-a", "\t", 0), ("x!a", "1", 0), ("grpc-status", "1", 0), (":path", "1", 0)], []),
    ],
)
def test_a_permission_holds_whatever_is_said_of_headers(serve, transport, answer, operations, sent):
    """What gRPC refuses is left out: it may come from the caller, and would end the call."""
    transport.answer = answer()
    listed = transport.answer.precondition.route_directive.response_header_operations
    for name, value, operation in operations:
        listed.add(name=name, value=value, operation=operation)

    async def main(channel):
        call = channel.unary_unary("/test.Service/Once")(b"a")
        return await call, [(name, value) for name, value in await call.initial_metadata()]

    result, (report,) = serve(main)
    assert (b"aa", sent) == result
    assert "0" == report["response.grpc_status"]


def test_a_direct_response_to_a_permitted_call_is_none_of_the_method(serve, transport, answer):
    """It has no status of gRPC of its own, and the method is not called."""
    transport.answer = answer()
    transport.answer.precondition.route_directive.direct_response_code = 302
    transport.answer.precondition.route_directive.direct_response_body = "over there"

    async def main(channel):
        call = channel.unary_unary("/test.Service/Once")(b"a")
        return await call.code(), await call.details()

    result, (report,) = serve(main)
    assert (grpc.StatusCode.UNKNOWN, "over there") == result
    assert "2" == report["response.grpc_status"]
    assert "check.error_code" not in report


@pytest.mark.parametrize(("letter", "count"), [("x", 2_000), ("ä", 1_000)])
def test_a_denial_with_a_long_reason_is_a_denial(serve, transport, answer, letter, count):
    """More than fits into the headers of an answer is cut off, or there would be no answer."""
    transport.answer = answer(code=7, message=letter * 20_000)

    async def main(channel):
        call = channel.unary_unary("/test.Service/Once")(b"a")
        return await call.code(), await call.details()

    result, _ = serve(main)
    assert (grpc.StatusCode.PERMISSION_DENIED, letter * count) == result


def test_a_call_that_fails_is_reported_with_its_status(serve):
    """Whatever the method did to end so."""

    async def main(channel):
        return await channel.unary_unary("/test.Service/Fail")(b"").code()

    result, (report,) = serve(main)
    assert grpc.StatusCode.NOT_FOUND is result
    assert ("5", "gone") == (report["response.grpc_status"], report["response.grpc_message"])


def test_a_method_with_a_fault_is_not_reported_as_a_success(serve):
    """The report has the code that the caller gets, which gRPC makes of the error."""

    async def main(channel):
        codes = [
            await channel.unary_unary(f"/test.Service/{method}")(b"").code()
            for method in ("Broken", "Coded")
        ]
        call = channel.unary_stream("/test.Service/Half")(b"x")
        with pytest.raises(grpc.aio.AioRpcError):
            _ = [each async for each in call]
        return [*codes, await call.code()]

    result, reports = serve(main)
    unknown = grpc.StatusCode.UNKNOWN
    assert [unknown, grpc.StatusCode.DATA_LOSS, unknown] == result
    assert ["2", "15", "2"] == [report["response.grpc_status"] for report in reports]


def test_a_call_that_the_caller_gives_up_is_reported_as_such(serve, transport):
    """By itself, or since its time is over."""
    allowed, asked = transport.answer, asyncio.Event()

    def told(request):
        asked.set()
        return allowed

    transport.answer = told

    async def main(channel):
        endless = channel.unary_unary("/test.Service/Endless")
        call = endless(b"")
        await asked.wait()
        call.cancel()
        # Enough for a busy server to see the call before its time is over.
        return await endless(b"", timeout=0.5).code()

    result, reports = serve(main)
    assert grpc.StatusCode.DEADLINE_EXCEEDED is result
    assert {"1", "4"} == {report["response.grpc_status"] for report in reports}


def test_the_identity_in_a_certificate_is_the_principal(serve, transport, authority):
    """As Mixer has it, without its scheme; a certificate without one has none."""
    certificate, key = authority.issue("localhost")
    server = grpc.ssl_server_credentials(
        [(key, certificate)], authority.root, require_client_auth=True
    )

    def asked(*uris):
        own_certificate, own_key = authority.issue("me", *uris)
        client = grpc.ssl_channel_credentials(authority.root, own_key, own_certificate)

        async def main(channel):
            return await channel.unary_unary("/test.Service/Once")(b"a")

        serve(main, credentials=(server, client))
        bag = transport.bags[-1]
        return bag.get("source.principal"), bag.get("source.user"), bag["connection.mtls"]

    name = "mesh.local/ns/shop/sa/cart"
    assert (name, name, True) == asked(f"spiffe://{name}")
    assert (None, None, True) == asked()


def test_streams_are_measured(serve):
    """Every message counts, and the report comes at the end."""

    async def main(channel):
        async def messages():
            for each in (b"a", b"bc"):
                yield each

        many = [each async for each in channel.unary_stream("/test.Service/Many")(b"xy")]
        written = [each async for each in channel.unary_stream("/test.Service/Written")(b"xy")]
        collected = await channel.stream_unary("/test.Service/Collected")(messages())
        mirrored = [
            each async for each in channel.stream_stream("/test.Service/Mirrored")(messages())
        ]
        return many, written, collected, mirrored

    result, reports = serve(main)
    assert ([b"xy"] * 3, [b"xy"] * 2, b"abc", [b"a", b"bc"]) == result
    assert [(2, 6), (2, 4), (3, 3), (3, 3)] == [
        (report["request.size"], report["response.size"]) for report in reports
    ]


def test_messages_are_what_the_method_takes(serve):
    """Its own serialisers stay in use."""

    async def main(channel):
        return await channel.unary_unary("/test.Service/Text")("é".encode())

    result, (report,) = serve(main)
    assert ("éé".encode(), 2, 4) == (result, report["request.size"], report["response.size"])


def test_unknown_methods_and_plain_functions_are_not_served(serve, transport):
    """The one is UNIMPLEMENTED as ever; the other says what to do."""

    async def main(channel):
        return [
            await channel.unary_unary(f"/test.Service/{method}")(b"").code()
            for method in ("Nothing", "Plain")
        ]

    result, reports = serve(main)
    assert [grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNKNOWN] == result
    assert ([], []) == (reports, transport.requests)


def test_quotas_and_forwarded_attributes_go_with_the_check(serve, transport):
    """As in the middleware."""
    header = forwarded_header(AttributeBag({"source.uid": "kubernetes://a.b"}))

    async def main(channel):
        await channel.unary_unary("/test.Service/Once")(b"", metadata=[header])

    serve(main, quotas={"q": 3}, trust_forwarded=True)
    assert "kubernetes://a.b" == transport.bags[0]["source.uid"]
    assert 3 == transport.requests[0].quotas["q"].amount


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:10.0.0.1:80", "10.0.0.1"),
        ("ipv6:%5B::1%5D:80", "::1"),
        ("ipv6:[::1]:80", "::1"),
        ("unix:/run/x", ""),
    ],
)
def test_the_address_of_a_peer_is_read(peer, address):
    """As gRPC writes it, old and new."""
    assert address == _address(peer)
