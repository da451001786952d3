"""RouteRule and DestinationPolicy of 2017: what they become, and what is wrong with them."""

from __future__ import annotations

import pytest

from meshregistry.documents import Seconds
from meshregistry.model import Labels, Selector
from meshregistry.rules import (
    Abort,
    Balancing,
    CallerMatch,
    ConnectionPool,
    Cors,
    Delay,
    Destination,
    FaultInjection,
    HeaderOperations,
    HttpMatch,
    LoadBalancer,
    Mirror,
    NamedMatch,
    OutlierDetection,
    PortPolicies,
    Redirect,
    Retry,
    Rewrite,
    Subset,
    TextMatch,
    TextMatchKind,
)

API = "config.istio.io/v1alpha2"
HOST = "reviews.shop.svc.mesh.local"
TO = "destination: {name: reviews}"


def rules(spec, kind, text):
    """The rules of a document without errors."""
    reading = spec(kind, text, API)
    assert () == reading.errors
    return reading.rules


def route(spec, text):
    """The route of a rule for reviews."""
    (one,) = rules(spec, "RouteRule", f"{{{TO}, {text}}}")[0].http
    return one


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("name: reviews", HOST),
        ("name: reviews, namespace: pay", "reviews.pay.svc.mesh.local"),
        ("name: reviews, domain: x.example", "reviews.shop.x.example"),
        ("service: reviews.example", "reviews.example"),
    ],
)
def test_a_service_is_a_name_or_a_whole_host(spec, text, host):
    """What a name lacks is the document's."""
    (rule,) = rules(spec, "RouteRule", f"{{destination: {{{text}}}, precedence: 3}}")
    assert (rule.hosts, rule.precedence) == ((host,), 3)
    assert rule.http[0].destinations[0].destination == Destination(host)


def test_labels_make_subsets(spec):
    """Of the name that Istio 0.4 gave them; the policy that defines them comes along."""
    rule, policy = rules(
        spec,
        "RouteRule",
        f"{{{TO}, route: [{{labels: {{version: v1, env: x}}, weight: 90}}, "
        "{labels: {version: v2}, weight: 10}]}",
    )
    (one,) = rule.http
    assert [(str(each.destination), each.weight) for each in one.destinations] == [
        (f"{HOST} subset env=x,version=v1", 90),
        (f"{HOST} subset version=v2", 10),
    ]
    assert policy.host == HOST
    assert policy.subsets == (
        Subset(name="env=x,version=v1", labels=Labels({"version": "v1", "env": "x"})),
        Subset(name="version=v2", labels=Labels({"version": "v2"})),
    )


def test_a_share_may_lead_elsewhere(spec):
    """With labels of its own; a single one needs no weight."""
    rule, policy = rules(
        spec,
        "RouteRule",
        f"{{{TO}, route: [{{destination: {{name: other, labels: {{v: '1'}}}}}}]}}",
    )
    (share,) = rule.http[0].destinations
    other = "other.shop.svc.mesh.local"
    assert (share.destination, share.weight) == (Destination(other, "v=1"), 1)
    assert policy.host == other


@pytest.mark.parametrize(
    ("service", "home"),
    [("name: a, namespace: pay", "pay"), ("name: a", "shop"), ("service: a.example", "shop")],
)
def test_subsets_are_found_by_every_caller(spec, service, home):
    """Their policy is in the namespace of the service, wherever the rule is."""
    _, policy = rules(
        spec, "RouteRule", f"{{destination: {{{service}}}, route: [{{labels: {{v: '1'}}}}]}}"
    )
    assert policy.namespace == home


def test_matches(spec):
    """Of the caller and of the request; names of fields may have underscores."""
    one = route(
        spec,
        "match: {source: {labels: {app: web}, namespace: n}, request: {headers: {"
        "uri: {prefix: /a}, method: {exact: GET}, authority: {regex: a.*}, scheme: {exact: http}, "
        "x_user: {exact: b}}}}",
    )
    assert one.matches == (
        HttpMatch(
            path=TextMatch(TextMatchKind.PREFIX, "/a"),
            method=TextMatch(TextMatchKind.EXACT, "GET"),
            authority=TextMatch(TextMatchKind.REGEX, "a.*"),
            scheme=TextMatch(TextMatchKind.EXACT, "http"),
            headers=(NamedMatch("x_user", TextMatch(TextMatchKind.EXACT, "b")),),
            caller=CallerMatch(source_labels=Labels({"app": "web"}), source_namespace="n"),
        ),
    )


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        (
            "redirect: {uri: /x, authority: y}",
            "redirect",
            Redirect(path="/x", authority="y"),
        ),
        ("rewrite: {uri: /x, authority: y}", "rewrite", Rewrite(path="/x", authority="y")),
        ("websocketUpgrade: true", "is_websocket", True),
        ("websocket_upgrade: true", "is_websocket", True),
        ("httpReqTimeout: {simpleTimeout: {timeout: 2s}}", "timeout", 2.0),
        ("http_req_timeout: {simple_timeout: {timeout: 2s}}", "timeout", 2.0),
        (
            "httpReqRetries: {simpleRetry: {attempts: 3, perTryTimeout: 1s}}",
            "retry",
            Retry(
                attempts=3,
                per_try_timeout=Seconds(1.0),
                retry_on=("5xx", "connect-failure", "refused-stream"),
            ),
        ),
        (
            "httpFault: {delay: {percent: 10, fixedDelay: 5s}, abort: {httpStatus: 500}}",
            "fault",
            FaultInjection(
                delay=Delay(seconds=Seconds(5.0), percent=10.0), abort=Abort(http_status=500)
            ),
        ),
        (
            "mirror: {name: other}",
            "mirrors",
            (Mirror(destination=Destination("other.shop.svc.mesh.local")),),
        ),
        (
            "corsPolicy: {allowOrigin: [a], allowMethods: [GET], maxAge: 24h, allowCredentials: true}",
            "cors",
            Cors(
                origins=(TextMatch(TextMatchKind.EXACT, "a"),),
                methods=("GET",),
                max_age=Seconds(86400.0),
                is_credentials_allowed=True,
            ),
        ),
        (
            "appendHeaders: {x_one: '1'}",
            "request",
            HeaderOperations(add=(("x_one", "1"),)),
        ),
    ],
)
def test_actions(spec, text, field, value):
    """Each of them."""
    assert getattr(route(spec, text), field) == value


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("{}", "spec", "either name or service"),
        ("{destination: {name: a, service: b}}", "spec", "either name or service"),
        ("{destination: {service: b, domain: c}}", "spec", "whole host"),
        ("{destination: {name: a, labels: {v: b}}}", "spec", "no labels"),
        ("{destination: {service: '*.x.com'}}", "spec", "more than one host"),
        (
            f"{{{TO}, route: [{{weight: 50}}, {{weight: 40}}]}}",
            "spec",
            "add up to 90",
        ),
        (f"{{{TO}, route: [{{weight: 50}}]}}", "spec.route[0]", "takes all"),
        (f"{{{TO}, appendHeaders: {{x-a: ''}}}}", "spec", "without a value"),
        (f"{{{TO}, corsPolicy: {{allowMethods: [BLAH]}}}}", "spec", "not a method"),
        (f"{{{TO}, corsPolicy: {{maxAge: 1.5s}}}}", "spec", "maxAge"),
        (f"{{{TO}, redirect: {{uri: /}}, rewrite: {{uri: /}}}}", "spec", "stands alone"),
        (f"{{{TO}, redirect: {{}}}}", "spec", "nothing is changed"),
        (f"{{{TO}, httpFault: {{}}}}", "spec", "no fault"),
        (f"{{{TO}, httpFault: {{delay: {{}}}}}}", "spec", "no length"),
        (f"{{{TO}, httpFault: {{abort: {{}}}}}}", "spec", "no status"),
        (
            f"{{{TO}, match: {{request: {{headers: {{X: {{exact: a}}}}}}}}}}",
            "spec.match.request.headers.X",
            "lower case",
        ),
        (
            f"{{{TO}, match: {{request: {{headers: {{uri: {{exact: ''}}}}}}}}}}",
            "spec.match.request.headers.uri",
            "empty",
        ),
        (f"{{{TO}, httpReqTimeout: {{simpleTimeout: {{timeout: 0s}}}}}}", None, "timeout"),
        (f"{{{TO}, presedence: 1}}", "spec.presedence", "did you mean precedence"),
    ],
)
def test_what_is_wrong_with_a_rule(spec, text, place, reason):
    """Has a place and a reason."""
    reading = spec("RouteRule", text, API)
    assert reading.rules == ()
    assert any(place in {None, one.field} and reason in one.message for one in reading.errors), (
        reading.errors
    )


def test_a_policy_is_for_a_host(spec):
    """Or for a subset of it; for some callers."""
    (policy,) = rules(
        spec,
        "DestinationPolicy",
        f"{{{TO}, source: {{labels: {{app: web}}}}, loadBalancing: {{name: LEAST_CONN}}}}",
    )
    balancer = LoadBalancer(balancing=Balancing.LEAST_REQUEST)
    assert (policy.host, policy.selector) == (HOST, Selector({"app": "web"}))
    assert policy.policies.all.load_balancer == balancer
    (policy,) = rules(
        spec,
        "DestinationPolicy",
        "{destination: {name: reviews, labels: {version: v1}}, loadBalancing: {name: RANDOM}}",
    )
    assert policy.policies == PortPolicies()
    (subset,) = policy.subsets
    assert subset.name == "version=v1"
    assert subset.policies.all.load_balancer == LoadBalancer(balancing=Balancing.RANDOM)


def test_a_circuit_breaker_limits_and_ejects(spec):
    """A tenth of the endpoints at most, unless it says more."""
    (policy,) = rules(
        spec,
        "DestinationPolicy",
        f"{{{TO}, circuitBreaker: {{simpleCb: {{maxConnections: 1, httpMaxPendingRequests: 2, "
        "httpMaxRequests: 3, httpMaxRequestsPerConnection: 4, httpMaxRetries: 5, sleepWindow: 6s, "
        "httpConsecutiveErrors: 7, httpDetectionInterval: 8s}}}",
    )
    assert policy.policies.all.connection_pool == ConnectionPool(
        max_connections=1,
        max_pending_requests=2,
        max_requests=3,
        max_requests_per_connection=4,
        max_retries=5,
    )
    assert policy.policies.all.outlier_detection == OutlierDetection(
        consecutive_5xx=7,
        interval=Seconds(8.0),
        base_ejection_time=Seconds(6.0),
        max_ejection_percent=10,
    )


def test_callers_of_another_namespace_have_their_own_policies(spec):
    """And times below a second are likely a mistake."""
    (error,) = spec("DestinationPolicy", f"{{{TO}, source: {{namespace: other}}}}", API).errors
    assert "its own namespace" in error.message
    reading = spec(
        "DestinationPolicy", f"{{{TO}, circuitBreaker: {{simpleCb: {{sleepWindow: 100ms}}}}}}", API
    )
    assert "below a second" in reading.warnings[0].message


def test_an_egress_rule_describes_a_service(read):
    """Which is not a routing document; the error says what to write."""
    text = f"apiVersion: {API}\nkind: EgressRule\nmetadata: {{name: a}}\nspec: {{}}\n"
    (error,) = read(text).errors
    assert "a source of the kind file" in error.message
