"""The ASGI middleware: attributes of requests, what is answered, and what is reported."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from meshregistry.mixer import (
    Api,
    ApiKey,
    ApiPattern,
    AttributeBag,
    ClientOptions,
    MixerClient,
    MixerMiddleware,
    ValueType,
    forwarded_header,
)
from meshregistry.mixer.vocabulary import STANDARD

ARRIVED = datetime(2024, 5, 1, 12, tzinfo=UTC)


def scope(**changes):
    """An HTTP request as servers describe it."""
    return {
        "type": "http",
        "method": "POST",
        "path": "/a b",
        "raw_path": b"/a%20b",
        "query_string": b"x=1&y=%20&x=2",
        "scheme": "https",
        "client": ("10.0.0.9", 4711),
        "headers": [
            (b"Host", b"shop"),
            (b"user-agent", b"test"),
            (b"referer", b"http://there"),
            (b"x-request-id", b"r1"),
            (b"x-a", b"1"),
            (b"x-a", b"2"),
        ],
        **changes,
    }


class App:
    """Answers, and keeps what it was given."""

    def __init__(self, *messages):
        self.scope = None
        self.body = []
        self.messages = messages or (
            {"type": "http.response.start", "status": 201, "headers": [(b"Server", b"app")]},
            {"type": "http.response.body", "body": b"hello", "more_body": True},
            {"type": "http.response.body", "body": b"!"},
        )

    async def __call__(self, scope, receive, send):
        self.scope = scope
        self.body.append(await receive())
        for message in self.messages:
            await send(message)


@pytest.fixture
def serve(transport, run_async):
    """Lets one request pass the middleware; what was sent, and the report."""

    def run(app, asked, *received, **arguments):
        times = iter([ARRIVED, ARRIVED + timedelta(seconds=2)])
        timer = iter([5.0, 7.0])
        waiting = list(received) or [{"type": "http.request", "body": b"abc"}]
        sent = []

        async def receive():
            return waiting.pop(0)

        async def send(message):
            sent.append(message)

        async def main():
            async with MixerClient(transport=transport, options=ClientOptions()) as client:
                middleware = MixerMiddleware(
                    app,
                    client,
                    wall_clock=lambda: next(times),
                    timer=lambda: next(timer),
                    **arguments,
                )
                await middleware(asked, receive, send)

        run_async(main())
        reports = [bag for batch in transport.reports for bag in batch]
        return sent, reports

    return run


def test_a_request_is_described_before_it_is_handled(serve, transport):
    """By everything that the vocabulary has at the check and a server knows."""
    serve(
        App(),
        scope(),
        attributes={"destination.service.host": "shop.mesh", "source.ip": "10.0.0.1"},
    )
    assert [
        AttributeBag(
            {
                "destination.service.host": "shop.mesh",
                "source.ip": b"\x0a\0\0\x01",
                "request.method": "POST",
                "request.path": "/a%20b?x=1&y=%20&x=2",
                "request.url_path": "/a%20b",
                "request.query_params": {"x": "1", "y": " "},
                "request.host": "shop",
                "request.scheme": "https",
                "request.time": ARRIVED,
                "request.id": "r1",
                "request.referer": "http://there",
                "request.useragent": "test",
                "request.headers": {
                    ":method": "POST",
                    ":path": "/a%20b?x=1&y=%20&x=2",
                    ":authority": "shop",
                    ":scheme": "https",
                    "host": "shop",
                    "user-agent": "test",
                    "referer": "http://there",
                    "x-request-id": "r1",
                    "x-a": "1,2",
                },
                "context.protocol": "http",
                "origin.ip": b"\x0a\0\0\x09",
            }
        )
    ] == transport.bags


def test_no_header_can_pretend_to_be_a_part_of_the_request(serve, transport):
    """What the server knows of it comes last."""
    claims = [(name, b"x") for name in (b":method", b":path", b":authority", b":scheme")]
    serve(App(), scope(headers=[*claims, (b"host", b"shop")]))
    (bag,) = transport.bags
    assert {
        ":method": "POST",
        ":path": "/a%20b?x=1&y=%20&x=2",
        ":authority": "shop",
        ":scheme": "https",
        "host": "shop",
    } == dict(bag["request.headers"])


def test_cookies_that_came_one_by_one_are_one_list_of_cookies(serve, transport):
    """HTTP/2 may split it, and joins it by semicolons; so a key is found in any of them."""
    cookies = [(b"cookie", b"a=1"), (b"cookie", b"key=2")]
    serve(App(), scope(headers=cookies), api=Api(keys=[ApiKey(cookie="key")]))
    (bag,) = transport.bags
    assert ("a=1; key=2", "2") == (bag["request.headers"]["cookie"], bag["request.api_key"])


def test_what_happened_is_reported_after_it(serve):
    """Code, sizes, times and headers of the response, with all that the check was told."""
    sent, (report,) = serve(App(), scope())
    assert [201, b"hello", b"!"] == [sent[0]["status"], sent[1]["body"], sent[2]["body"]]
    expected = {
        "response.code": 201,
        "response.headers": {"server": "app"},
        "response.size": 6,
        "response.total_size": 15,
        "response.time": ARRIVED + timedelta(seconds=2),
        "response.duration": timedelta(seconds=2),
        "request.size": 3,
        "request.total_size": 3 + sum(len(k) + len(v) for k, v in scope()["headers"]),
        "request.method": "POST",
        "check.cache_hit": False,
    }
    assert expected == {
        name: report.get(name) if name != "response.headers" else dict(report[name])
        for name in expected
    }


def test_a_denied_request_does_not_reach_the_application(serve, transport, answer):
    """It is answered with the code's status and a text, and reported as well."""
    transport.answer = answer(code=7, message="not you")
    transport.answer.precondition.route_directive.response_header_operations.add(
        name="x-why", value="rule"
    )
    app = App()
    sent, (report,) = serve(app, scope())
    assert app.scope is None
    assert [
        {
            "type": "http.response.start",
            "status": 403,
            "headers": [
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"content-length", b"25"),
                (b"x-why", b"rule"),
            ],
        },
        {"type": "http.response.body", "body": b"PERMISSION_DENIED:not you"},
    ] == sent
    assert (403, 7, "PERMISSION_DENIED:not you") == (
        report["response.code"],
        report["check.error_code"],
        report["check.error_message"],
    )


def test_a_direct_response_is_given(serve, transport, answer):
    """Though the request is allowed."""
    transport.answer = answer()
    directive = transport.answer.precondition.route_directive
    directive.direct_response_code, directive.direct_response_body = 302, "there"
    sent, _ = serve(App(), scope())
    assert (302, b"there") == (sent[0]["status"], sent[1]["body"])


@pytest.mark.parametrize("code", [103, 204, 205, 304])
def test_a_status_that_has_no_content_is_given_without_the_body(serve, transport, answer, code):
    """A client would take it for the beginning of the next response, or a server refuse it."""
    transport.answer = answer()
    directive = transport.answer.precondition.route_directive
    directive.direct_response_code, directive.direct_response_body = code, "there"
    directive.response_header_operations.add(name="x-why", value="rule")
    sent, (report,) = serve(App(), scope())
    assert [
        {"type": "http.response.start", "status": code, "headers": [(b"x-why", b"rule")]},
        {"type": "http.response.body", "body": b""},
    ] == sent
    assert 0 == report["response.size"]


def test_bytes_of_headers_are_texts_for_rules_and_pass_unchanged(serve, transport):
    """Of UTF-8 or not: the application and the caller have the bytes, rules and reports the text."""
    value = b"\xc3\xa9\xff"
    start = {"type": "http.response.start", "status": 200, "headers": [(b"x-a", value)]}
    app = App(start, {"type": "http.response.body", "body": b""})
    asked = scope(raw_path=b"/\xc3\xa9", query_string=b"q=\xff", headers=[(b"x-a", value)])
    sent, (report,) = serve(app, asked)
    assert [(b"x-a", value)] == app.scope["headers"] == sent[0]["headers"]
    (bag,) = transport.bags
    assert ("é!", "/é?q=!") == (bag["request.headers"]["x-a"], bag["request.path"])
    assert ("é!", 3 + len(value)) == (
        report["response.headers"]["x-a"],
        report["response.total_size"],
    )
    assert 3 + len(value) + len(b"abc") == report["request.total_size"]


def test_texts_of_rules_are_written_as_utf8(serve, transport, answer):
    """As Envoy writes them: what was read from a header is the same bytes in another one."""
    transport.answer = answer()
    directive = transport.answer.precondition.route_directive
    for name, value in (("x-a", "é€"), (":path", "/é?q=€"), (":authority", "é")):
        directive.request_header_operations.add(name=name, value=value)
    directive.response_header_operations.add(name="x-b", value="€")
    app = App()
    sent, _ = serve(app, scope())
    assert {b"x-a": "é€".encode(), b"host": "é".encode()}.items() <= dict(
        app.scope["headers"]
    ).items()
    assert ("/é", "/é".encode(), "q=€".encode()) == tuple(
        app.scope[key] for key in ("path", "raw_path", "query_string")
    )
    assert (b"x-b", "€".encode()) in sent[0]["headers"]


def test_headers_and_pseudo_headers_are_changed(serve, transport, answer):
    """The application sees the changed request, the caller the changed response."""
    transport.answer = answer()
    directive = transport.answer.precondition.route_directive
    for name, value, operation in (
        ("x-a", "9", 0),
        ("referer", "", 1),
        ("user-agent", "more", 2),
        (":path", "/ne%77?z=%20", 0),
        (":method", "PUT", 0),
        (":authority", "other", 0),
    ):
        directive.request_header_operations.add(name=name, value=value, operation=operation)
    directive.response_header_operations.add(name="server", operation=1)
    app = App()
    sent, _ = serve(app, scope())
    assert [
        (b"user-agent", b"test"),
        (b"x-request-id", b"r1"),
        (b"x-a", b"9"),
        (b"user-agent", b"more"),
        (b"host", b"other"),
    ] == app.scope["headers"]
    assert ("/new", b"/ne%77", b"z=%20", "PUT") == tuple(
        app.scope[key] for key in ("path", "raw_path", "query_string", "method")
    )
    assert [] == sent[0]["headers"]


def test_pseudo_headers_are_not_removed(serve, transport, answer):
    """A request without a path, a method or a host would be none."""
    transport.answer = answer()
    directive = transport.answer.precondition.route_directive
    for name in (":path", ":method", ":authority"):
        directive.request_header_operations.add(name=name, operation=1)
    app, asked = App(), scope(headers=[(b"host", b"here")])
    serve(app, asked)
    same = ("path", "raw_path", "query_string", "method", "headers")
    assert [asked[key] for key in same] == [app.scope[key] for key in same]


@pytest.mark.parametrize("is_trusted", [True, False])
def test_forwarded_attributes_are_believed_of_trusted_callers(serve, transport, is_trusted):
    """The header never reaches the application, nor `request.headers`."""
    name, value = forwarded_header(AttributeBag({"source.uid": "kubernetes://a.b"}))
    asked = scope(headers=[(name.encode(), value.encode())])
    app = App()
    serve(app, asked, trust_forwarded=is_trusted, attributes={"source.uid": "static"})
    expected = "kubernetes://a.b" if is_trusted else "static"
    assert [expected] == [bag["source.uid"] for bag in transport.bags]
    assert name not in transport.bags[0]["request.headers"]
    assert [] == app.scope["headers"]


@pytest.mark.parametrize("quotas", [{"q": 2}, lambda bag: {"q": len(bag["request.method"]) - 2}])
def test_quotas_are_the_same_for_all_or_by_attributes(serve, transport, answer, quotas):
    """An exhausted one is answered with 429."""
    transport.answer = answer(quotas={"q": (0, 1, ())})
    sent, _ = serve(App(), scope(), quotas=quotas)
    assert (429, 2) == (sent[0]["status"], transport.requests[0].quotas["q"].amount)


def test_an_application_that_fails_is_reported_as_500(serve, transport):
    """Its exception goes on to the server."""

    async def broken(scope, receive, send):
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        serve(broken, scope())
    ((report,),) = transport.reports
    assert (500, 0) == (report["response.code"], report["response.size"])


def test_trailers_count_as_headers(serve):
    """So the status of a gRPC call over ASGI is seen."""
    app = App(
        {"type": "http.response.start", "status": 200, "headers": [], "trailers": True},
        {"type": "http.response.body", "body": b""},
        {
            "type": "http.response.trailers",
            "headers": [(b"grpc-status", b"5"), (b"grpc-message", b"gone")],
        },
    )
    asked = scope(headers=[(b"content-type", b"application/grpc+proto")], query_string=b"")
    _, (report,) = serve(app, asked)
    assert ("grpc", "5", "gone") == (
        report["context.protocol"],
        report["response.grpc_status"],
        report["response.grpc_message"],
    )
    assert "request.query_params" not in report


@pytest.mark.parametrize(("chain", "expected"), [(["PEM"], True), ([], False), (None, None)])
def test_a_certificate_of_the_peer_is_told(serve, transport, chain, expected):
    """As far as the server knows."""
    extensions = {} if chain is None else {"tls": {"client_cert_chain": chain}}
    serve(App(), scope(extensions=extensions, client=None))
    assert expected is transport.bags[0].get("connection.mtls")
    assert "origin.ip" not in transport.bags[0]


def test_lifespan_passes(serve, transport):
    """It is no request."""
    app = App({"type": "lifespan.startup.complete"})
    sent, reports = serve(app, {"type": "lifespan"}, {"type": "lifespan.startup"})
    assert ([], [], 1) == (transport.requests, reports, len(sent))


def test_a_websocket_is_checked_when_it_opens_and_reported_when_it_ends(serve):
    """With the bytes of its messages."""
    app = App(
        {"type": "websocket.accept"},
        {"type": "websocket.send", "text": "hé"},
        {"type": "websocket.send", "bytes": b"12"},
        {"type": "websocket.close"},
    )
    asked = scope(type="websocket", scheme="ws")
    del asked["method"]
    _, (report,) = serve(app, asked, {"type": "websocket.receive", "text": "abc"})
    assert (101, 5, 3, "GET") == tuple(
        report[name]
        for name in ("response.code", "response.size", "request.size", "request.method")
    )


@pytest.mark.parametrize("can_answer", [True, False])
def test_a_denied_websocket_is_refused(serve, transport, answer, can_answer):
    """With a response of HTTP where the server can send one."""
    transport.answer = answer(code=7)
    extensions = {"websocket.http.response": {}} if can_answer else {}
    asked = scope(type="websocket", extensions=extensions)
    sent, (report,) = serve(App(), asked, {"type": "websocket.connect"})
    kinds = [message["type"] for message in sent]
    if can_answer:
        assert ["websocket.http.response.start", "websocket.http.response.body"] == kinds
    else:
        assert [{"type": "websocket.close", "code": 1008}] == sent
    assert 403 == report["response.code"]


def test_the_api_of_a_request_is_told(serve, transport):
    """Its operation by the path without the query, and the key in the query."""
    api = Api(
        attributes={"api.service": "shop"},
        patterns=[ApiPattern({"api.operation": "read"}, "/a%20b", method="POST")],
        keys=[ApiKey(query="x")],
    )
    serve(App(), scope(), api=api)
    (bag,) = transport.bags
    assert ("shop", "read", "1") == tuple(
        bag[name] for name in ("api.service", "api.operation", "request.api_key")
    )


@pytest.mark.parametrize(
    "arguments",
    [
        {"attributes": {"destination.servce.host": "shop"}},
        {"api": Api(attributes={"api.servce": "shop"})},
        {"api": Api(patterns=[ApiPattern({"api.operatin": "read"}, "/")])},
    ],
)
def test_a_misspelt_attribute_is_told_when_the_middleware_is_made(transport, arguments):
    """Not with the first request."""
    with pytest.raises(ValueError, match="did you mean"):
        MixerMiddleware(App(), MixerClient(transport=transport), **arguments)


def test_the_manifest_of_the_client_holds(transport):
    """Attributes of one's own are declared there."""
    manifest = STANDARD.extended({"my.tenant": ValueType.STRING})
    client = MixerClient(transport=transport, manifest=manifest)
    MixerMiddleware(App(), client, attributes={"my.tenant": "blue"})
