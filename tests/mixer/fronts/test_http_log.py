"""Requests in Envoy's access log as reports, row by row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from envoy.data.accesslog.v3 import accesslog_pb2
from envoy.service.accesslog.v3 import als_pb2
from google.protobuf import text_format, wrappers_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshregistry.mixer import StringMap
from meshregistry.mixer.fronts._flags import FLAGS, flags_text
from meshregistry.mixer.fronts._http_log import is_last, request_bag
from meshregistry.mixer.fronts._reporter import Reporter

START = datetime(2026, 1, 1, tzinfo=UTC)
IP = bytes([10, 0, 0, 1])
ADDRESS = '{ socket_address { address: "10.0.0.1" port_value: 80 } }'
START_TEXT = "start_time { seconds: 1767225600 } "


def entry(common="", rest=""):
    """An entry, as text."""
    return text_format.Parse(
        f"common_properties {{ {common} }} {rest}", accesslog_pb2.HTTPAccessLogEntry()
    )


def bag(common="", rest="", reporter=None):
    """The attributes of such an entry."""
    return request_bag(entry(common, rest), reporter or Reporter())[0]


OUT = 'custom_tags { key: "context.reporter.kind" value: "outbound" } '
ROWS = [
    ("", "", {"context.reporter.kind": "inbound", "context.proxy_error_code": "-"}),
    (f"downstream_remote_address {ADDRESS}", "", {"origin.ip": IP}),
    (
        (
            f"downstream_direct_remote_address {ADDRESS}"
            'downstream_remote_address { socket_address { address: "9.9.9.9" } }'
        ),
        "",
        {"origin.ip": IP},
    ),
    (f"downstream_local_address {ADDRESS}", "", {"destination.ip": IP, "destination.port": 80}),
    (f"upstream_remote_address {ADDRESS}", "", {"destination.ip": None, "destination.port": None}),
    (
        f"{OUT} upstream_remote_address {ADDRESS}",
        "",
        {"context.reporter.kind": "outbound", "destination.ip": IP, "destination.port": 80},
    ),
    (
        'upstream_cluster: "outbound|80|v1|a.shop.svc.mesh.local"',
        "",
        {
            "destination.service.host": "a.shop.svc.mesh.local",
            "destination.service.name": "a",
            "destination.service.namespace": "shop",
        },
    ),
    (
        'upstream_cluster: "outbound|80||example.com"',
        "",
        {
            "destination.service.host": "example.com",
            "destination.service.name": "example.com",
            "destination.service.namespace": None,
        },
    ),
    (
        (
            'upstream_cluster: "outbound|80||a.shop" '
            'custom_tags { key: "destination.service.host" value: "a.shop" } '
            'custom_tags { key: "destination.service.name" value: "stated" }'
        ),
        "",
        {"destination.service.host": "a.shop", "destination.service.name": "stated"},
    ),
    (
        (
            'upstream_cluster: "outbound|80||b.shop" '
            'custom_tags { key: "destination.service.host" value: "a.shop" } '
            'custom_tags { key: "destination.service.namespace" value: "shop" } '
            'custom_tags { key: "destination.service.name" value: "stated" }'
        ),
        "",
        {
            "destination.service.host": "b.shop",
            "destination.service.name": "b.shop",
            "destination.service.namespace": None,
        },
    ),
    (
        "start_time { seconds: 253402300799 } duration { seconds: 10 }",
        "",
        {"response.time": None, "response.duration": timedelta(seconds=10)},
    ),
    ("duration { seconds: -1 }", "", {"response.duration": None}),
    ('upstream_cluster: "inbound|80||"', "", {"destination.service.host": None}),
    (
        (
            'tls_properties { tls_sni_hostname: "a.b" peer_certificate_properties { subject_alt_name '
            '{ uri: "spiffe://mesh/ns/shop/sa/w" } } local_certificate_properties '
            '{ subject_alt_name { uri: "spiffe://mesh/b" } } }'
        ),
        "",
        {
            "connection.requested_server_name": "a.b",
            "source.principal": "mesh/ns/shop/sa/w",
            "source.user": "mesh/ns/shop/sa/w",
            "source.namespace": "shop",
            "connection.mtls": True,
            "destination.principal": "mesh/b",
        },
    ),
    ("", "", {"connection.mtls": False}),
    (
        'custom_tags { key: "connection.mtls" value: "true" }',
        "",
        {"connection.mtls": True},
    ),
    (
        f"{START_TEXT} duration {{ nanos: 5000000 }}",
        "",
        {
            "request.time": START,
            "response.duration": timedelta(milliseconds=5),
            "response.time": START + timedelta(milliseconds=5),
        },
    ),
    (
        "time_to_last_downstream_tx_byte { seconds: 2 }",
        "",
        {"response.duration": timedelta(seconds=2), "response.time": None},
    ),
    ("response_flags { no_route_found: true }", "", {"context.proxy_error_code": "NR"}),
    (
        "response_flags { delay_injected: true unauthorized_details { reason: EXTERNAL_SERVICE } }",
        "",
        {"context.proxy_error_code": "DI,UAEX"},
    ),
    (
        (
            'custom_tags { key: "destination.service.host" value: "a.shop" }'
            'custom_tags { key: "my.own" value: "1" }'
        ),
        "",
        {"destination.service.host": "a.shop", "my.own": "1"},
    ),
    (
        "",
        (
            'request { request_method: PATCH scheme: "https" authority: "a.shop" path: "/p?q=1" '
            'user_agent: "u" referer: "r" request_id: "i" forwarded_for: "9.9.9.9" }'
        ),
        {
            "request.method": "PATCH",
            "request.scheme": "https",
            "request.host": "a.shop",
            "request.path": "/p?q=1",
            "request.url_path": "/p",
            "request.query_params": StringMap(q="1"),
            "request.useragent": "u",
            "request.referer": "r",
            "request.id": "i",
            "request.headers": StringMap(
                {
                    ":authority": "a.shop",
                    ":method": "PATCH",
                    ":path": "/p?q=1",
                    ":scheme": "https",
                    "x-forwarded-for": "9.9.9.9",
                    "user-agent": "u",
                    "referer": "r",
                    "x-request-id": "i",
                }
            ),
        },
    ),
    ("", "request { }", {"request.method": None, "request.scheme": "http"}),
    ("", 'request { path: "/to" original_path: "/from" }', {"request.path": "/from"}),
    (
        "",
        "request { request_headers_bytes: 100 request_body_bytes: 20 }",
        {"request.size": 20, "request.total_size": 120},
    ),
    (
        "",
        'request { request_headers { key: "X-B3-TraceId" value: "t" } }',
        {"request.headers": StringMap({"x-b3-traceid": "t"})},
    ),
    ("", "response { response_code { value: 204 } }", {"response.code": 204}),
    ("", "", {"response.code": 500}),
    (
        "",
        "response { response_headers_bytes: 100 response_body_bytes: 20 }",
        {"response.size": 20, "response.total_size": 120},
    ),
    (
        "",
        (
            'response { response_headers { key: "grpc-status" value: "1" } '
            'response_trailers { key: "grpc-status" value: "0" } '
            'response_headers { key: "grpc-message" value: "m" } }'
        ),
        {
            "response.headers": StringMap({"grpc-status": "0", "grpc-message": "m"}),
            "response.grpc_status": "0",
            "response.grpc_message": "m",
        },
    ),
    (
        "",
        'request { request_headers { key: "content-type" value: "application/grpc" } }',
        {"context.protocol": "grpc"},
    ),
    (
        "",
        'response { response_headers { key: "content-type" value: "application/grpc" } }',
        {"context.protocol": "grpc"},
    ),
    ("", "", {"context.protocol": "http"}),
]


@pytest.mark.parametrize(("common", "rest", "expected"), ROWS)
def test_fields_become_attributes(common, rest, expected):
    """Each row of the table; None: the attribute is not there."""
    found = bag(common, rest)
    assert expected == {name: found.get(name) for name in expected}


def test_filters_say_what_they_found(metadata):
    """A string map for each, and what is known of some; Mixer's own of old is skipped."""
    message = entry()
    metadata(
        message.common_properties.metadata,
        {
            "istio.mixer": {"status": "OK"},
            "my.filter": {"text": "t", "number": 5, "list": [1.5, True]},
            "request.path": {"cannot": "hide an attribute"},
            "envoy.filters.http.jwt_authn": {"k": {"iss": "i", "sub": "s"}},
            "envoy.filters.http.rbac": {
                "shadow_engine_result": "denied",
                "shadow_effective_policy_id": "p",
            },
            "envoy.filters.http.ext_authz": {
                "check.cache_hit": True,
                "check.error_code": 7,
                "check.error_message": "PERMISSION_DENIED:no",
            },
        },
    )
    found, _ = request_bag(message, Reporter())
    expected = {
        "istio.mixer": None,
        "my.filter": StringMap(text="t", number="5", list="[1.5,true]"),
        "request.path": "",
        "request.auth.principal": "i/s",
        "rbac.permissive.response_code": "403",
        "rbac.permissive.effective_policy_id": "p",
        "check.cache_hit": True,
        "check.error_code": 7,
        "check.error_message": "PERMISSION_DENIED:no",
    }
    assert expected == {name: found.get(name) for name in expected}


def test_numbers_that_are_none_are_left_out():
    """JSON has no word for them; the rest of what the filter found is there."""
    message = entry()
    fields = message.common_properties.metadata.filter_metadata["my.filter"].fields
    fields["wrong"].number_value = float("nan")
    fields["right"].number_value = 1e300
    found, _ = request_bag(message, Reporter())
    assert StringMap(right="1e+300") == found["my.filter"]


def test_texts_of_the_filter_state_are_attributes():
    """Other objects are not; a stated tag of the same name wins."""
    message = entry('custom_tags { key: "b" value: "tag" }')
    state = message.common_properties.filter_state_objects
    for name in "ab":
        state[name].Pack(wrappers_pb2.StringValue(value="state"))
    state["c"].Pack(wrappers_pb2.BoolValue(value=True))
    found, _ = request_bag(message, Reporter())
    assert ("state", "tag", None) == (found.get("a"), found.get("b"), found.get("c"))


@pytest.mark.parametrize(("field", "text"), FLAGS.items())
def test_every_flag_has_its_text(field, text):
    """As in Envoy's own access logs."""
    flags = accesslog_pb2.ResponseFlags()
    if field == "unauthorized_details":
        flags.unauthorized_details.SetInParent()
        assert "-" == flags_text(flags)
        flags.unauthorized_details.reason = 1
    else:
        setattr(flags, field, True)
    assert text == flags_text(flags)


def test_every_flag_of_envoy_is_known():
    """A newer version of the messages fails here, and not in silence."""
    assert {one.name for one in accesslog_pb2.ResponseFlags.DESCRIPTOR.fields} == set(FLAGS)


@pytest.mark.parametrize(
    ("common", "expected"),
    [
        ("", True),
        ("access_log_type: DownstreamEnd", True),
        ("access_log_type: DownstreamStart", False),
        ("access_log_type: DownstreamPeriodic", False),
        ("access_log_type: UpstreamEnd", False),
        ("access_log_type: DownstreamEnd intermediate_log_entry: true", False),
    ],
)
def test_a_request_is_reported_once(common, expected):
    """At its end."""
    assert expected is is_last(entry(common))


NODE = """
node {
  id: "sidecar~10.0.0.1~web-1.shop~shop.svc.mesh.local"
  metadata { fields { key: "LABELS" value { struct_value { fields { key: "app" value { string_value: "web" } } } } } }
}
log_name: "%s"
"""


@pytest.mark.parametrize(("log", "side"), [("inbound", "destination"), ("outbound", "source")])
def test_the_proxy_tells_of_its_own_side(log, side):
    """Where its log says on which side it stands."""
    identifier = text_format.Parse(NODE % log, als_pb2.StreamAccessLogsMessage.Identifier())
    found = bag(reporter=Reporter.of(identifier))
    assert {
        "context.reporter.kind": log,
        "context.reporter.uid": "kubernetes://web-1.shop",
        f"{side}.uid": "kubernetes://web-1.shop",
        f"{side}.namespace": "shop",
        f"{side}.labels": StringMap(app="web"),
    } == {
        name: value
        for name, value in found.items()
        if name.startswith(("context.reporter", "source", "destination"))
    }


@pytest.mark.parametrize(
    ("node", "uid"),
    [("edge-1", "edge-1"), ("", None), ("nothing~but", "nothing~but"), ("a~b~~d", "a~b~~d")],
)
def test_any_node_id_is_taken(node, uid):
    """What is no sidecar's id is the uid."""
    identifier = als_pb2.StreamAccessLogsMessage.Identifier()
    identifier.node.id = node
    assert uid == bag(reporter=Reporter.of(identifier)).get("context.reporter.uid")


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_message_is_read(messages, assert_sound, data):
    """Without a crash, and with values of their types."""
    identifier = data.draw(messages(als_pb2.StreamAccessLogsMessage.Identifier))
    message = data.draw(messages(accesslog_pb2.HTTPAccessLogEntry))
    found, _ = request_bag(message, Reporter.of(identifier))
    assert_sound(found)
    assert found.get("response.size", 0) >= 0
    assert found.get("response.duration", timedelta()) >= timedelta()
