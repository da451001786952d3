"""VirtualService documents: what they become, and what is wrong with them."""

from __future__ import annotations

import pytest

from meshregistry.model import Hostname, Labels
from meshregistry.rules import (
    MESH,
    Abort,
    Cors,
    Delay,
    Destination,
    DirectResponse,
    FaultInjection,
    HeaderOperations,
    Mirror,
    NamedMatch,
    Redirect,
    RedirectPort,
    Retry,
    Rewrite,
    TextMatch,
    TextMatchKind,
)

A = "{destination: {host: a}}"


def route(spec, text):
    """The one HTTP route of a rule."""
    reading = spec("VirtualService", f"{{hosts: [a], http: [{{{text}}}]}}")
    assert () == reading.errors
    (rule,) = reading.rules
    (found,) = rule.http
    return found


def test_names_are_completed_with_the_namespace(spec):
    """Of hosts, destinations and gateways; whole names, wildcards and words stay."""
    reading = spec(
        "VirtualService",
        "{hosts: [a, b.example, '*.x.example', '*'], gateways: [edge, other/edge, ./edge, mesh], "
        f"http: [{{route: [{A}]}}]}}",
    )
    (rule,) = reading.rules
    assert rule.hosts == ("a.shop.svc.mesh.local", "b.example", "*.x.example", "*")
    assert rule.gateways == ("shop/edge", "other/edge", "shop/edge", MESH)
    assert (rule.namespace, rule.name, rule.export_to) == ("shop", "a", ("*",))
    (only,) = rule.http
    assert only.destinations[0].destination == Destination(Hostname("a.shop.svc.mesh.local"))
    assert str(rule.origin) == "VirtualService shop/a (rules.yaml:1)"
    assert (only.origin.path, only.origin.line) == ("spec.http[0]", 4)


def test_without_gateways_a_rule_is_for_sidecars(spec):
    """As Istio says."""
    (rule,) = spec("VirtualService", f"{{hosts: [a], http: [{{route: [{A}]}}]}}").rules
    assert rule.gateways == (MESH,)


def test_every_condition_is_read(spec):
    """Path, scheme, method, authority, headers, query, and who calls."""
    found = route(
        spec,
        "match: [{name: m, uri: {prefix: /x}, ignoreUriCase: true, scheme: {exact: https}, "
        "method: {regex: 'GET|PUT'}, authority: {prefix: a}, "
        "headers: {x-a: {exact: '1'}, x-b: {}}, withoutHeaders: {x-c: {prefix: y}}, "
        "queryParams: {q: {exact: z}, r: {}}, port: 80, sourceLabels: {app: w}, "
        f"sourceNamespace: web, gateways: [edge], statPrefix: s}}], route: [{A}]",
    )
    (match,) = found.matches
    exact, prefix, present = (
        TextMatch(TextMatchKind.EXACT, "1"),
        TextMatch(TextMatchKind.PREFIX, "y"),
        TextMatch(TextMatchKind.PRESENT),
    )
    assert (match.name, match.path, match.is_case_ignored) == (
        "m",
        TextMatch(TextMatchKind.PREFIX, "/x"),
        True,
    )
    assert match.headers == (
        NamedMatch("x-a", exact),
        NamedMatch("x-b", present),
        NamedMatch("x-c", prefix, is_inverted=True),
    )
    assert match.query == (
        NamedMatch("q", TextMatch(TextMatchKind.EXACT, "z")),
        NamedMatch("r", present),
    )
    assert match.method == TextMatch(TextMatchKind.REGEX, "GET|PUT")
    assert match.stat_prefix == "s"
    caller = match.caller
    assert (caller.port, caller.source_labels) == (80, Labels({"app": "w"}))
    assert (caller.source_namespace, caller.gateways) == ("web", ("shop/edge",))


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("timeout: 2s", "timeout", 2.0),
        ("timeout: 0s", "timeout", None),
        ("rewrite: {uri: /b, authority: c}", "rewrite", Rewrite(path="/b", authority="c")),
        (
            "rewrite: {uriRegexRewrite: {match: 'a(.)', rewrite: '\\1'}}",
            "rewrite",
            Rewrite(pattern="a(.)", substitution="\\1"),
        ),
        (
            (
                "retries: {attempts: 3, perTryTimeout: 1s, retryOn: '5xx, 429', "
                "retryRemoteLocalities: true, retryIgnorePreviousHosts: false, backoff: 10ms}"
            ),
            "retry",
            Retry(
                attempts=3,
                per_try_timeout=1.0,
                retry_on=("5xx", "429"),
                is_to_other_localities=True,
                is_previous_host_avoided=False,
                backoff=0.01,
            ),
        ),
        (
            "fault: {delay: {fixedDelay: 1s, percent: 5}, abort: {grpcStatus: UNAVAILABLE}}",
            "fault",
            FaultInjection(delay=Delay(seconds=1.0, percent=5.0), abort=Abort(grpc_status=14)),
        ),
        (
            "fault: {abort: {httpStatus: 500, percentage: {value: 0.1}}}",
            "fault",
            FaultInjection(abort=Abort(http_status=500, percent=0.1)),
        ),
        (
            (
                "mirror: {host: b.example, subset: v2}, mirrorPercentage: {value: 10}, "
                "mirrors: [{destination: {host: c.example}}]"
            ),
            "mirrors",
            (
                Mirror(destination=Destination(Hostname("b.example"), "v2"), percent=10.0),
                Mirror(destination=Destination(Hostname("c.example"))),
            ),
        ),
        (
            (
                "corsPolicy: {allowOrigins: [{prefix: x}], allowMethods: [GET], allowHeaders: [h], "
                "exposeHeaders: [e], maxAge: 1h, allowCredentials: true, unmatchedPreflights: IGNORE}"
            ),
            "cors",
            Cors(
                origins=(TextMatch(TextMatchKind.PREFIX, "x"),),
                methods=("GET",),
                headers=("h",),
                exposed=("e",),
                max_age=3600.0,
                is_credentials_allowed=True,
                is_unmatched_forwarded=False,
            ),
        ),
        (
            "headers: {request: {set: {a: b}, add: {c: d}, remove: [e]}}",
            "request",
            HeaderOperations(set=(("a", "b"),), add=(("c", "d"),), remove=("e",)),
        ),
        (
            "headers: {response: {remove: [e]}}",
            "response_headers",
            HeaderOperations(remove=("e",)),
        ),
        ("name: n", "name", "n"),
    ],
)
def test_what_is_done_with_requests(spec, text, field, value):
    """Each action as its neutral value."""
    assert getattr(route(spec, f"{text}, route: [{A}]"), field) == value


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        (
            "redirect: {uri: /b, authority: c, scheme: https, port: 8443, redirectCode: 308}",
            "redirect",
            Redirect(path="/b", authority="c", scheme="https", port=8443, status=308),
        ),
        (
            "redirect: {derivePort: FROM_REQUEST_PORT}",
            "redirect",
            Redirect(port=RedirectPort.REQUEST),
        ),
        (
            "directResponse: {status: 503, body: {string: no}}",
            "response",
            DirectResponse(status=503, body=b"no"),
        ),
    ],
)
def test_what_is_answered_at_once(spec, text, field, value):
    """Without a destination."""
    assert getattr(route(spec, text), field) == value


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("{gateways: [g], http: [{route: [%s]}]}", "spec", "without hosts"),
        ("{tcp: [{route: [%s]}]}", "spec", "without hosts"),
        (
            "{hosts: [a], http: [{route: [%s], delegate: {name: b}}]}",
            "spec.http[0]",
            "route and delegate",
        ),
        ("{hosts: ['a_b!'], http: [{route: [%s]}]}", "spec.hosts[0]", "not a host name"),
        ("{hosts: [a]}", "spec", "there is no route"),
        ("{hosts: [a], http: [{}]}", "spec.http[0]", "this one has nothing"),
        (
            "{hosts: [a], http: [{route: [%s], redirect: {uri: /}}]}",
            "spec.http[0]",
            "route and redirect",
        ),
        (
            "{hosts: [a], http: [{route: [{destination: {host: a}, weight: 1}, %s]}]}",
            "spec.http[0]",
            "the weights add up to 1",
        ),
        (
            "{hosts: [a], http: [{route: [{destination: {host: a}, weight: 101}]}]}",
            "spec.http[0].route[0].weight",
            "101",
        ),
        ("{hosts: [a], http: [{route: [{}]}]}", "spec.http[0].route[0]", "destination"),
        (
            "{hosts: [a], http: [{route: [{destination: {host: a, port: {number: 0}}}]}]}",
            "spec.http[0].route[0].destination.port.number",
            "1",
        ),
        (
            "{hosts: [a], http: [{match: [{uri: {exact: /, prefix: /}}], route: [%s]}]}",
            "spec.http[0].match[0].uri",
            "one of exact, prefix and regex",
        ),
        (
            "{hosts: [a], http: [{match: [{uri: {prefix: ''}}], route: [%s]}]}",
            "spec.http[0].match[0].uri",
            "the path is empty",
        ),
        (
            "{hosts: [a], http: [{match: [{uri: {regex: '('}}], route: [%s]}]}",
            "spec.http[0].match[0].uri",
            "is wrong",
        ),
        (
            "{hosts: [a], http: [{match: [{uri: {regex: 'a(?=b)'}}], route: [%s]}]}",
            "spec.http[0].match[0].uri",
            "looks around or back",
        ),
        (
            "{hosts: [a], http: [{match: [{headers: {X-A: {exact: b}}}], route: [%s]}]}",
            "spec.http[0].match[0].headers.X-A",
            "not in lower case",
        ),
        (
            "{hosts: [a], http: [{match: [{headers: [x]}], route: [%s]}]}",
            "spec.http[0].match[0].headers",
            "must be a mapping",
        ),
        (
            "{hosts: [a], http: [{redirect: {redirectCode: 200}}]}",
            "spec.http[0].redirect",
            "200 is not a redirect",
        ),
        (
            "{hosts: [a], http: [{redirect: {port: 1, derivePort: FROM_REQUEST_PORT}}]}",
            "spec.http[0].redirect",
            "exclude each other",
        ),
        (
            "{hosts: [a], http: [{directResponse: {status: 99}}]}",
            "spec.http[0].directResponse.status",
            "99",
        ),
        (
            "{hosts: [a], http: [{rewrite: {}, route: [%s]}]}",
            "spec.http[0].rewrite",
            "nothing is rewritten",
        ),
        (
            "{hosts: [a], http: [{rewrite: {uri: /, uriRegexRewrite: {match: a}}, route: [%s]}]}",
            "spec.http[0].rewrite",
            "exclude each other",
        ),
        (
            "{hosts: [a], http: [{fault: {}, route: [%s]}]}",
            "spec.http[0].fault",
            "no fault is given",
        ),
        (
            "{hosts: [a], http: [{fault: {delay: {percent: 1}}, route: [%s]}]}",
            "spec.http[0].fault.delay",
            "no length",
        ),
        (
            "{hosts: [a], http: [{fault: {abort: {percent: 1}}, route: [%s]}]}",
            "spec.http[0].fault.abort",
            "one status",
        ),
        (
            "{hosts: [a], http: [{fault: {abort: {grpcStatus: BAD}}, route: [%s]}]}",
            "spec.http[0].fault.abort",
            "not a gRPC status",
        ),
        (
            "{hosts: [a], http: [{mirrors: [{}], route: [%s]}]}",
            "spec.http[0].mirrors[0]",
            "destination",
        ),
        (
            "{hosts: [a], http: [{corsPolicy: {maxAge: 1500ms}, route: [%s]}]}",
            "spec.http[0].corsPolicy",
            "maxAge",
        ),
        (
            "{hosts: [a], http: [{corsPolicy: {unmatchedPreflights: X}, route: [%s]}]}",
            "spec.http[0].corsPolicy",
            "unmatchedPreflights",
        ),
        (
            "{hosts: [a], gateways: [g], tls: [{match: [{port: 1}], route: [%s]}]}",
            "spec.tls[0].match[0]",
            "sniHosts is missing",
        ),
        (
            "{hosts: [a], gateways: [g], tcp: [{match: [{sniHosts: [a]}], route: [%s]}]}",
            "spec.tcp[0].match[0]",
            "for tls routes",
        ),
        ("{hosts: [a], gateways: [g], tcp: [{}]}", "spec.tcp[0]", "leads nowhere"),
        ("{hosts: [a], htp: []}", "spec.htp", "http"),
        (
            "{hosts: [a], http: [{headers: {request: {set: {x: 100%}}}, route: [{destination: {host: a}}]}]}",
            "spec.http[0]",
            "lone percent sign",
        ),
        (
            "{hosts: [a], http: [{headers: {request: {add: {'x y': z}}}, route: [{destination: {host: a}}]}]}",
            "spec.http[0]",
            "not a header name",
        ),
        (
            "{hosts: [a], http: [{headers: {response: {remove: [Host]}}, route: [{destination: {host: a}}]}]}",
            "spec.http[0]",
            "cannot be removed",
        ),
        (
            '{hosts: [a], http: [{rewrite: {uri: "/a\\nb"}, route: [{destination: {host: a}}]}]}',
            "spec.http[0].rewrite",
            "control character",
        ),
        (
            (
                "{hosts: [a], http: [{rewrite: {uriRegexRewrite: {match: a, rewrite: '\\1'}}, "
                "route: [{destination: {host: a}}]}]}"
            ),
            "spec.http[0].rewrite",
            "refers to no group",
        ),
    ],
)
def test_what_is_wrong_has_a_place_and_no_rules(spec, text, place, reason):
    """File, line, field and reason; a document with an error says nothing at all."""
    reading = spec("VirtualService", text.replace("%s", A))
    assert () == reading.rules
    found = {(error.field, error.line): error.message for error in reading.errors}
    assert any(field == place and reason in text for (field, _), text in found.items()), found
    assert all(error.file == "rules.yaml" and error.line for error in reading.errors)


def test_routes_of_connections(spec):
    """They are read with names and ports."""
    text = (
        "{hosts: [a.example], gateways: [%s], "
        f"tls: [{{match: [{{sniHosts: [a.example], port: 443}}], route: [{A}]}}], "
        f"tcp: [{{route: [{A}]}}]}}"
    )
    reading = spec("VirtualService", text % "edge")
    assert ((), ()) == (reading.errors, reading.warnings)
    (rule,) = reading.rules
    assert rule.tls[0].matches[0].server_names == ("a.example",)
    assert rule.tls[0].matches[0].caller.port == 443
    assert rule.tcp[0].matches == ()


def test_what_has_no_effect_is_said(spec):
    """IgnoreUriCase with an expression."""
    reading = spec(
        "VirtualService",
        "{hosts: [a], http: [{match: [{uri: {regex: a}, ignoreUriCase: true}], "
        f"route: [{A}]}}]}}",
    )
    (warning,) = reading.warnings
    assert "no effect on a regex" in warning.message


def test_a_route_is_handed_to_another_document(spec):
    """In the same namespace, unless it says another; the other one has no hosts."""
    (rule,) = spec(
        "VirtualService",
        "{hosts: [a], http: [{delegate: {name: b}}, {delegate: {name: c, namespace: pay}}]}",
    ).rules
    assert [route.delegate for route in rule.http] == ["shop/b", "pay/c"]
    (other,) = spec("VirtualService", f"{{http: [{{route: [{A}]}}]}}").rules
    assert other.hosts == ()
