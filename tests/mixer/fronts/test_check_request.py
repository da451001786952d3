"""Envoy's questions as attributes, row by row."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from envoy.service.auth.v3 import attribute_context_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshregistry.mixer import StringMap, forwarded_header
from meshregistry.mixer._attributes import AttributeBag
from meshregistry.mixer.fronts import Trust
from meshregistry.mixer.fronts._check_request import asked

NOW = datetime(2026, 1, 1, tzinfo=UTC)
IP = bytes([10, 0, 0, 1])


@pytest.fixture
def context():
    """An ``AttributeContext`` of a request with these changes."""

    def make(*, is_http=True, **fields):
        message = attribute_context_pb2.AttributeContext()
        if is_http:
            message.request.http.SetInParent()
        for path, value in fields.items():
            *parents, last = path.split("__")
            target = message
            for one in parents:
                target = getattr(target, one)
            if isinstance(value, dict):
                getattr(target, last).update(value)
            else:
                setattr(target, last, value)
        return message

    return make


@pytest.fixture
def ask():
    """What a context says."""

    def run(context, *stated, trust=None):
        return asked(context, stated, trust or Trust(), wall_time=NOW, new_id=lambda: "an-id")

    return run


ROWS = [
    ({"source__address__socket_address__address": "10.0.0.1"}, {"origin.ip": IP}),
    (
        {"source__address__socket_address__address": "fe80::1%lo"},
        {"origin.ip": b"\xfe\x80" + bytes(13) + b"\1"},
    ),
    ({"source__address__pipe__path": "/run/x"}, {"origin.ip": None, "source.port": None}),
    ({"source__address__socket_address__port_value": 5000}, {"source.port": 5000}),
    (
        {"source__principal": "spiffe://mesh/ns/shop/sa/web"},
        {
            "source.principal": "mesh/ns/shop/sa/web",
            "source.user": "mesh/ns/shop/sa/web",
            "source.namespace": "shop",
            "connection.mtls": True,
        },
    ),
    ({"source__principal": "CN=web"}, {"source.principal": "CN=web", "source.namespace": None}),
    ({}, {"connection.mtls": False, "source.principal": None}),
    ({"context_extensions": {"connection.mtls": "true"}}, {"connection.mtls": True}),
    (
        {"source__principal": "a", "context_extensions": {"connection.mtls": "false"}},
        {"connection.mtls": True},
    ),
    ({"source__service": "web"}, {"source.service": "web"}),
    ({"destination__address__socket_address__address": "10.0.0.1"}, {"destination.ip": IP}),
    ({"destination__address__socket_address__port_value": 80}, {"destination.port": 80}),
    ({"destination__principal": "spiffe://mesh/b"}, {"destination.principal": "mesh/b"}),
    ({"destination__labels": {"app": "a"}}, {"destination.labels": StringMap(app="a")}),
    ({"request__time__seconds": 1767225600}, {"request.time": NOW}),
    ({"request__time__seconds": 1 << 62}, {"request.time": None}),
    ({"request__http__id": "7"}, {"request.id": None}),
    ({"request__http__headers": {"x-request-id": "r"}}, {"request.id": "r"}),
    ({"request__http__method": "GET"}, {"request.method": "GET"}),
    (
        {"request__http__path": "/a%20b?x=%C3%A9&x=2&y=#f"},
        {
            "request.path": "/a%20b?x=%C3%A9&x=2&y=#f",
            "request.url_path": "/a%20b",
            "request.query_params": StringMap(x="é", y="#f"),
        },
    ),
    ({"request__http__path": "/a"}, {"request.query_params": None, "request.url_path": "/a"}),
    ({"request__http__host": "a.shop"}, {"request.host": "a.shop"}),
    ({"request__http__scheme": "https"}, {"request.scheme": "https"}),
    ({}, {"request.scheme": "http", "context.protocol": "http"}),
    (
        {"request__http__headers": {":path": "/", "X": "1,2", "x-istio-attributes": "?"}},
        {"request.headers": StringMap({":path": "/", "x": "1,2"})},
    ),
    ({"request__http__headers": {"user-agent": "u"}}, {"request.useragent": "u"}),
    ({"request__http__headers": {"referer": "r"}}, {"request.referer": "r"}),
    (
        {"request__http__headers": {"content-type": "application/grpc+proto; x"}},
        {"context.protocol": "grpc"},
    ),
    (
        {"request__http__headers": {"content-type": "application/grpc-web"}},
        {"context.protocol": "http"},
    ),
    ({"request__http__size": 7}, {"request.size": 7}),
    ({"request__http__size": -1}, {"request.size": None}),
    ({"tls_session__sni": "a.b"}, {"connection.requested_server_name": "a.b"}),
    (
        {"context_extensions": {"destination.service.host": "a.shop", "my.own": "1"}},
        {"destination.service.host": "a.shop", "my.own": "1"},
    ),
]


@pytest.mark.parametrize(("said", "expected"), ROWS)
def test_fields_become_attributes(context, ask, said, expected):
    """Each row of the table; None: the attribute is not there."""
    bag = ask(context(**said)).bag
    assert expected == {name: bag.get(name) for name in expected}


def test_a_connection_has_its_own_attributes(context, ask):
    """Source address, time, an id; nothing of a request."""
    found = ask(context(is_http=False, source__address__socket_address__address="10.0.0.1"))
    assert {
        "origin.ip": IP,
        "source.ip": IP,
        "connection.mtls": False,
        "context.protocol": "tcp",
        "context.time": NOW,
        "connection.id": "an-id",
    } == dict(found.bag)
    assert not found.is_http


def test_raw_headers_are_joined(context, ask):
    """Several of one name, with bytes that are no UTF-8."""
    message = context()
    for key, value in (("A", b"1"), ("a", b"\xff")):
        message.request.http.header_map.headers.add(key=key, raw_value=value)
    assert StringMap(a="1,!") == ask(message).bag["request.headers"]


def test_claims_of_a_verified_token_are_attributes(context, ask, metadata):
    """Under whatever name the filter files them; numbers are in the raw claims only."""
    message = context()
    claims = {"iss": "i", "sub": "s", "aud": ["a", "b"], "azp": "p", "exp": 5}
    metadata(message.metadata_context, {"envoy.filters.http.jwt_authn": {"any": claims}})
    assert {
        "request.auth.principal": "i/s",
        "request.auth.audiences": "a,b",
        "request.auth.presenter": "p",
        "request.auth.claims": StringMap(iss="i", sub="s", azp="p"),
        "request.auth.raw_claims": '{"aud":["a","b"],"azp":"p","exp":5,"iss":"i","sub":"s"}',
    } == {name: value for name, value in ask(message).bag.items() if ".auth." in name}


def test_the_route_wins_over_the_filter(context, ask):
    """And what the connection shows wins over both."""
    message = context(
        destination__address__socket_address__port_value=80,
        context_extensions={"source.uid": "route", "destination.port": "1"},
    )
    bag = ask(message, ("source.uid", "filter"), ("destination.port", "2")).bag
    assert ("route", 80) == (bag["source.uid"], bag["destination.port"])


def test_before_another_proxy_the_listener_is_no_destination(context, ask):
    """Of a router, say: what it listens on says nothing of the service."""
    message = context(destination__address__socket_address__port_value=80)
    assert "destination.port" not in ask(message, ("context.reporter.kind", "outbound")).bag


@pytest.mark.parametrize("is_trusted", [True, False])
def test_forwarded_attributes_count_if_the_caller_is_trusted(context, ask, is_trusted):
    """By the identity of the connection, never by one that was stated; the whitelist holds."""
    header = forwarded_header(
        AttributeBag({"source.uid": "u", "source.namespace": "other", "source.principal": "x"})
    )
    principal = "spiffe://mesh/ns/shop/sa/web" if is_trusted else ""
    message = context(source__principal=principal, request__http__headers=dict([header]))
    trust = Trust(principals=["mesh/*"])
    found = ask(message, ("source.principal", "mesh/stated"), trust=trust)
    assert found.has_forwarded
    assert ("u" if is_trusted else None) == found.bag.get("source.uid")
    # What the certificate says wins over what was forwarded.
    assert ("shop" if is_trusted else None) == found.bag.get("source.namespace")


def test_a_repeated_question_has_the_id_of_the_stream(context, ask):
    """Not of the request, which the caller could choose."""
    message = context(request__http__id="7", request__http__headers={"x-request-id": "r"})
    assert "7" == ask(message).id


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_message_is_read(messages, assert_sound, data):
    """Without a crash, and with values of their types."""
    message = data.draw(messages(attribute_context_pb2.AttributeContext))
    trust = Trust(networks=["0.0.0.0/0"], principals=["*"])
    found = asked(message, [("destination.port", "x")], trust, wall_time=NOW, new_id=lambda: "i")
    assert_sound(found.bag)
    assert "x-istio-attributes" not in found.bag.get("request.headers", {})
    assert all(0 < amount < 1 << 63 for amount in found.quotas.values())
