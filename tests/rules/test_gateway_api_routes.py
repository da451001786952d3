"""Routes of the Gateway API: what they become, and what is wrong with them."""

from __future__ import annotations

import pytest

from meshregistry.documents import Seconds
from meshregistry.rules import (
    CallerMatch,
    Cors,
    Destination,
    DirectResponse,
    HeaderOperations,
    HttpMatch,
    Mirror,
    NamedMatch,
    Redirect,
    RedirectPort,
    Retry,
    Rewrite,
    TextMatch,
    TextMatchKind,
)

API = "gateway.networking.k8s.io/v1"
PARENT = "parentRefs: [{name: edge}]"
A = "{name: a, port: 80}"
HOST = "a.shop.svc.mesh.local"
EXACT, SEGMENTS, PREFIX, REGEX = (
    TextMatchKind.EXACT,
    TextMatchKind.SEGMENTS,
    TextMatchKind.PREFIX,
    TextMatchKind.REGEX,
)


def rules(spec, kind, text):
    """The rules of a document without errors or warnings."""
    reading = spec(kind, text, API)
    assert ((), ()) == (reading.errors, reading.warnings)
    return reading.rules


def route(spec, text, kind="HTTPRoute"):
    """The only route of a document with one rule."""
    (rule,) = rules(spec, kind, f"{{{PARENT}, rules: [{{{text}}}]}}")
    (one,) = rule.http
    return one


def test_parents_are_gateways_sections_and_services(spec):
    """A service's routes are for sidecars that call it."""
    gateways, at_port, service = sorted(
        rules(
            spec,
            "HTTPRoute",
            "{hostnames: [X.example], parentRefs: [{name: edge}, "
            "{name: other, namespace: infra, sectionName: web}, {name: edge, port: 8080}, "
            f"{{group: '', kind: Service, name: a, port: 80}}], rules: [{{backendRefs: [{A}]}}]}}",
        ),
        key=lambda rule: -len(rule.gateways) or 0,
    )[:3]
    found = {rule.gateways: rule for rule in (gateways, at_port, service)}
    assert found["shop/edge", "infra/other/web"].hosts == ("x.example",)
    (match,) = found["shop/edge",].http[0].matches
    assert match.caller == CallerMatch(port=8080)
    assert found["mesh",].hosts == (HOST,)
    assert found["mesh",].http[0].matches[0].caller == CallerMatch(port=80)


def test_without_hostnames_a_route_is_for_all_of_the_listener(spec):
    """As the specification says."""
    (rule,) = rules(spec, "HTTPRoute", f"{{{PARENT}, rules: [{{backendRefs: [{A}]}}]}}")
    assert (rule.hosts, rule.gateways) == (("*",), ("shop/edge",))


def test_matches_are_in_the_order_of_the_specification(spec):
    """Exact before expressions before prefixes, longer first, then method, headers, query."""
    (rule,) = rules(
        spec,
        "HTTPRoute",
        f"{{{PARENT}, rules: ["
        f"{{name: p, matches: [{{path: {{value: /a}}}}, {{path: {{value: /a/b}}}}], backendRefs: [{A}]}},"
        f"{{name: e, matches: [{{path: {{type: Exact, value: /a}}}}], backendRefs: [{A}]}},"
        f"{{name: r, matches: [{{path: {{type: RegularExpression, value: '/.*'}}}}], backendRefs: [{A}]}},"
        f"{{name: q, matches: [{{queryParams: [{{name: x, value: '1'}}]}}], backendRefs: [{A}]}},"
        f"{{name: h, matches: [{{headers: [{{name: X, value: '1'}}]}}], backendRefs: [{A}]}},"
        f"{{name: m, matches: [{{method: GET}}], backendRefs: [{A}]}},"
        f"{{name: z, backendRefs: [{A}]}}]}}",
    )
    assert "".join(one.name for one in rule.http) == "erppmhqz"
    assert [one.matches[0].path for one in rule.http[:4]] == [
        TextMatch(EXACT, "/a"),
        TextMatch(REGEX, "/.*"),
        TextMatch(SEGMENTS, "/a/b"),
        TextMatch(SEGMENTS, "/a"),
    ]
    assert rule.http[4].matches[0].method == TextMatch(EXACT, "GET")
    assert rule.http[5].matches[0].headers == (NamedMatch("x", TextMatch(EXACT, "1")),)
    assert rule.http[6].matches[0].query == (NamedMatch("x", TextMatch(EXACT, "1")),)


def test_backends_have_weights_and_headers(spec):
    """Of another namespace, they wait for a grant."""
    one = route(
        spec,
        "backendRefs: [{name: a, port: 80, weight: 3, filters: [{type: RequestHeaderModifier, "
        "requestHeaderModifier: {set: [{name: x, value: '1'}]}}]}, "
        "{name: b, namespace: pay, port: 81}]",
    )
    first, second = one.destinations
    assert (first.destination, first.weight) == (Destination(HOST, "", 80), 3)
    assert first.request == HeaderOperations(set=(("x", "1"),))
    assert second.destination == Destination("b.pay.svc.mesh.local", "", 81, asker="HTTPRoute/shop")


@pytest.mark.parametrize("backends", ["", "backendRefs: [{name: a, port: 80, weight: 0}]"])
def test_a_rule_without_backends_is_an_error_of_the_server(spec, backends):
    """The specification says 500."""
    assert route(spec, backends).response == DirectResponse(status=500)


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        (
            "type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: x, value: y}], remove: [z]}",
            "request",
            HeaderOperations(add=(("x", "y"),), remove=("z",)),
        ),
        (
            "type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x, value: y}]}",
            "response_headers",
            HeaderOperations(set=(("x", "y"),)),
        ),
        (
            (
                "type: URLRewrite, urlRewrite: {hostname: h, path: {type: ReplacePrefixMatch, "
                "replacePrefixMatch: /n}}"
            ),
            "rewrite",
            Rewrite(path="/n", authority="h"),
        ),
        (
            "type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /n}}",
            "rewrite",
            Rewrite(whole_path="/n"),
        ),
        (
            "type: RequestMirror, requestMirror: {backendRef: {name: b, port: 1}, percent: 20}",
            "mirrors",
            (Mirror(destination=Destination("b.shop.svc.mesh.local", "", 1), percent=20.0),),
        ),
        (
            (
                "type: RequestMirror, requestMirror: {backendRef: {name: b, port: 1}, "
                "fraction: {numerator: 1, denominator: 8}}"
            ),
            "mirrors",
            (Mirror(destination=Destination("b.shop.svc.mesh.local", "", 1), percent=12.5),),
        ),
        (
            (
                "type: CORS, cors: {allowOrigins: ['https://*.a', https://b], allowMethods: [GET], "
                "maxAge: 5, allowCredentials: true}"
            ),
            "cors",
            Cors(
                origins=(TextMatch(REGEX, r"https://.*\.a"), TextMatch(EXACT, "https://b")),
                methods=("GET",),
                max_age=Seconds(5.0),
                is_credentials_allowed=True,
            ),
        ),
    ],
)
def test_filters(spec, text, field, value):
    """Each of them."""
    assert getattr(route(spec, f"filters: [{{{text}}}], backendRefs: [{A}]"), field) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("scheme: https", Redirect(scheme="https", port=RedirectPort.PROTOCOL, status=302)),
        (
            "hostname: h, port: 8443, statusCode: 301",
            Redirect(authority="h", port=8443, status=301),
        ),
        (
            "path: {type: ReplacePrefixMatch, replacePrefixMatch: /n}",
            Redirect(prefix="/n", status=302),
        ),
    ],
)
def test_redirects(spec, text, value):
    """Without a backend."""
    one = route(spec, f"filters: [{{type: RequestRedirect, requestRedirect: {{{text}}}}}]")
    assert (one.redirect, one.response, one.destinations) == (value, None, ())


def test_times_and_retries(spec):
    """A time for each try means tries."""
    one = route(spec, f"timeouts: {{request: 2s, backendRequest: 1s}}, backendRefs: [{A}]")
    assert (one.timeout, one.retry) == (2.0, Retry(attempts=2, per_try_timeout=Seconds(1.0)))
    one = route(
        spec, f"timeouts: {{request: 0s}}, retry: {{codes: [503], attempts: 3}}, backendRefs: [{A}]"
    )
    assert one.timeout is None
    assert one.retry == Retry(attempts=3, retry_on=("connect-failure", "refused-stream", "503"))


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("{service: s, method: m}", TextMatch(EXACT, "/s/m")),
        ("{service: s}", TextMatch(PREFIX, "/s/")),
        ("{method: m}", TextMatch(REGEX, "/[^/]+/m")),
        ("{type: RegularExpression, service: 's.*'}", TextMatch(REGEX, "/s.*/[^/]+")),
    ],
)
def test_methods_of_grpc_are_paths(spec, text, path):
    """Service and method."""
    one = route(spec, f"matches: [{{method: {text}}}], backendRefs: [{A}]", "GRPCRoute")
    assert one.matches == (HttpMatch(path=path),)


def test_connections(spec):
    """TLS by server name, TCP as it comes."""
    (rule,) = rules(
        spec, "TLSRoute", f"{{{PARENT}, hostnames: ['*.x'], rules: [{{backendRefs: [{A}]}}]}}"
    )
    assert (rule.hosts, rule.tls[0].matches[0].server_names) == (("*.x",), ("*.x",))
    (rule,) = rules(spec, "TCPRoute", f"{{{PARENT}, rules: [{{backendRefs: [{A}]}}]}}")
    assert (rule.hosts, rule.tcp[0].matches) == (("*",), ())
    assert rule.tcp[0].destinations[0].destination == Destination(HOST, "", 80)


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("{}", "spec", "no parent"),
        ("{parentRefs: [{name: a, kind: Mesh}]}", "spec.parentRefs[0].kind", "Mesh"),
        ("{parentRefs: [{name: a, kind: Service}]}", "spec.parentRefs[0]", "no services are in"),
        (f"{{{PARENT}, hostnames: [a_b!]}}", "spec.hostnames[0]", "not a host"),
        (
            f"{{{PARENT}, rules: [{{backendRefs: [{{name: a}}]}}]}}",
            "spec.rules[0].backendRefs[0]",
            "port",
        ),
        (
            f"{{{PARENT}, rules: [{{matches: [{{path: {{value: a}}}}]}}]}}",
            "spec.rules[0].matches[0].path",
            "relative",
        ),
        (
            f"{{{PARENT}, rules: [{{filters: [{{type: URLRewrite}}]}}]}}",
            "spec.rules[0].filters[0]",
            "says nothing",
        ),
        (
            (
                f"{{{PARENT}, rules: [{{filters: [{{type: RequestRedirect, requestRedirect: {{}}}}], "
                f"backendRefs: [{A}]}}]}}"
            ),
            "spec.rules[0]",
            "leads to no backend",
        ),
        (
            f"{{{PARENT}, rules: [{{backendRefs: [{{name: a, port: 1, filters: [{{type: CORS, cors: {{}}}}]}}]}}]}}",
            "spec.rules[0].backendRefs[0].filters[0]",
            "a backend has no CORS",
        ),
        (
            (
                f"{{{PARENT}, rules: [{{filters: [{{type: URLRewrite, urlRewrite: {{path: "
                f"{{type: ReplaceFullPath}}}}}}]}}]}}"
            ),
            "spec.rules[0].filters[0].urlRewrite",
            "says no path",
        ),
    ],
)
def test_what_is_wrong_has_a_place_and_no_rules(spec, text, place, reason):
    """And a reason."""
    reading = spec("HTTPRoute", text, API)
    assert reading.rules == ()
    assert any(one.field == place and reason in one.message for one in reading.errors), (
        reading.errors
    )


def test_a_name_that_is_said_twice_counts_once(spec):
    """With a warning, as the specification has it."""
    reading = spec(
        "HTTPRoute",
        f"{{{PARENT}, rules: [{{matches: [{{headers: [{{name: X, value: a}}, {{name: x, value: b}}]}}], "
        f"backendRefs: [{A}]}}]}}",
        API,
    )
    assert len(reading.warnings) == 1
    assert reading.rules[0].http[0].matches[0].headers == (NamedMatch("x", TextMatch(EXACT, "a")),)
