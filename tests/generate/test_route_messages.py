"""From neutral routes to Envoy's: Istio's table of VirtualService, row by row."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from google.protobuf import json_format

from meshregistry.generate._naming import BLACK_HOLE_CLUSTER
from meshregistry.generate._route_filters import fraction
from meshregistry.generate._route_match import CalledAt, caller_routes
from meshregistry.generate._route_messages import route_messages
from meshregistry.model import Hostname, Labels
from meshregistry.rules import (
    MESH,
    Abort,
    CallerMatch,
    Cors,
    Delay,
    Destination,
    DirectResponse,
    FaultInjection,
    HashKey,
    HashOn,
    HeaderOperations,
    HttpMatch,
    HttpRoute,
    Mirror,
    NamedMatch,
    Redirect,
    RedirectPort,
    Retry,
    Rewrite,
    RouteRule,
    TextMatch,
    TextMatchKind,
    WeightedDestination,
)

A, B = Destination(Hostname("a")), Destination(Hostname("b"))
EXACT, PREFIX, REGEX, PRESENT = (
    TextMatchKind.EXACT,
    TextMatchKind.PREFIX,
    TextMatchKind.REGEX,
    TextMatchKind.PRESENT,
)


def to(*destinations: Destination, **more: Any) -> HttpRoute:
    """A route to some destinations, of equal weight."""
    shares = tuple(WeightedDestination(destination=one) for one in destinations)
    return HttpRoute(destinations=shares, **more)


def shown(
    route: HttpRoute,
    missing: tuple[Destination, ...] = (),
    keys: dict[Destination, HashKey] | None = None,
) -> list[dict[str, Any]]:
    """The messages of a route as plain values."""
    messages = route_messages(
        route,
        lambda one: None if one in missing else str(one),
        hash_keys=(keys or {}).get,
    )
    return [json_format.MessageToDict(one, preserving_proto_field_name=True) for one in messages]


def matched(**words: Any) -> dict[str, Any]:
    """The match of a route with one condition."""
    (route,) = shown(to(A, matches=(HttpMatch(**words),)))
    return route["match"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({}, {"prefix": "/"}),
        ({"path": TextMatch(EXACT, "/a")}, {"path": "/a"}),
        ({"path": TextMatch(PREFIX, "/a")}, {"prefix": "/a"}),
        ({"path": TextMatch(PRESENT)}, {"prefix": "/"}),
        (
            {"path": TextMatch(PREFIX, "/a"), "is_case_ignored": True},
            {"prefix": "/a", "case_sensitive": False},
        ),
        ({"path": TextMatch(REGEX, "/a.*")}, {"safe_regex": {"regex": "/a.*"}}),
        (
            {"path": TextMatch(TextMatchKind.SUFFIX, ".png")},
            {"safe_regex": {"regex": ".*\\.png"}},
        ),
        ({"path": TextMatch(TextMatchKind.SEGMENTS, "/a/")}, {"path_separated_prefix": "/a"}),
        ({"path": TextMatch(TextMatchKind.SEGMENTS, "/")}, {"prefix": "/"}),
        (
            {"method": TextMatch(EXACT, "GET"), "authority": TextMatch(PREFIX, "x")},
            {
                "prefix": "/",
                "headers": [
                    {"name": ":method", "string_match": {"exact": "GET"}},
                    {"name": ":authority", "string_match": {"prefix": "x"}},
                ],
            },
        ),
        (
            {"scheme": TextMatch(TextMatchKind.SUFFIX, "s")},
            {"prefix": "/", "headers": [{"name": ":scheme", "string_match": {"suffix": "s"}}]},
        ),
        (
            {
                "headers": (
                    NamedMatch("a", TextMatch(PRESENT)),
                    NamedMatch("b", TextMatch(REGEX, "x"), is_inverted=True),
                )
            },
            {
                "prefix": "/",
                "headers": [
                    {"name": "a", "present_match": True},
                    {
                        "name": "b",
                        "string_match": {"safe_regex": {"regex": "x"}},
                        "invert_match": True,
                        "treat_missing_header_as_empty": True,
                    },
                ],
            },
        ),
        (
            {
                "query": (
                    NamedMatch("q", TextMatch(EXACT, "1")),
                    NamedMatch("r", TextMatch(PRESENT)),
                )
            },
            {
                "prefix": "/",
                "query_parameters": [
                    {"name": "q", "string_match": {"exact": "1"}},
                    {"name": "r", "present_match": True},
                ],
            },
        ),
    ],
)
def test_conditions(words: dict[str, Any], expected: dict[str, Any]) -> None:
    """Each in Envoy's words."""
    assert matched(**words) == expected


def test_each_condition_has_a_route_of_its_own() -> None:
    """One suffices; the route's name comes before the match's."""
    conditions = (HttpMatch(name="m"), HttpMatch(path=TextMatch(EXACT, "/a")))
    assert [one.get("name") for one in shown(to(A, matches=conditions))] == ["m", None]
    assert [one["name"] for one in shown(to(A, matches=conditions, name="n"))] == ["n", "n"]


def test_destinations_by_weight() -> None:
    """Weight 0 is left out; one alone needs no weight; a missing one keeps its share."""
    (alone,) = shown(to(A))
    assert alone["route"]["cluster"] == "a"
    none = WeightedDestination(destination=B, weight=0)
    (dropped,) = shown(HttpRoute(destinations=(WeightedDestination(destination=A), none)))
    assert dropped["route"]["cluster"] == "a"
    (split,) = shown(to(A, B), missing=(B,))
    assert [one["name"] for one in split["route"]["weighted_clusters"]["clusters"]] == [
        "a",
        BLACK_HOLE_CLUSTER,
    ]
    (gone,) = shown(to(A), missing=(A,))
    assert gone["direct_response"] == {"status": 503}


def test_timeouts_are_off_unless_given() -> None:
    """Envoy's own would be 15 s; it would heed a stream's duration alone, and only for gRPC."""
    (route,) = shown(to(A))
    assert route["route"]["timeout"] == "0s"
    (route,) = shown(to(A, timeout=1.5))
    assert route["route"]["timeout"] == "1.500s"
    assert "max_stream_duration" not in route["route"]


def test_retries() -> None:
    """Two by default; codes apart; off with 0; no other host where a hash decides."""
    (route,) = shown(to(A))
    assert route["route"]["retry_policy"]["num_retries"] == 2
    assert "retry_host_predicate" in route["route"]["retry_policy"]
    (route,) = shown(to(A, retry=Retry(attempts=0)))
    assert "retry_policy" not in route["route"]
    retry = Retry(
        attempts=3,
        per_try_timeout=1.0,
        retry_on=("reset", "503"),
        is_to_other_localities=True,
        is_previous_host_avoided=False,
        backoff=0.01,
    )
    (route,) = shown(to(A, retry=retry))
    policy = route["route"]["retry_policy"]
    assert policy["retry_on"] == "reset,retriable-status-codes"
    assert (policy["retriable_status_codes"], policy["num_retries"]) == ([503], 3)
    assert (policy["per_try_timeout"], policy["retry_back_off"]) == (
        "1s",
        {"base_interval": "0.010s"},
    )
    assert policy["retry_priority"]["typed_config"]["update_frequency"] == 2
    assert "retry_host_predicate" not in policy
    (route,) = shown(to(A), keys={A: HashKey(on=HashOn.SOURCE_IP)})
    assert "retry_host_predicate" not in route["route"]["retry_policy"]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (HashKey(on=HashOn.HEADER, name="x"), {"header": {"header_name": "x"}}),
        (HashKey(on=HashOn.QUERY, name="q"), {"query_parameter": {"name": "q"}}),
        (HashKey(on=HashOn.SOURCE_IP), {"connection_properties": {"source_ip": True}}),
        (
            HashKey(on=HashOn.COOKIE, name="c", cookie_path="/", cookie_ttl=1.0),
            {"cookie": {"name": "c", "path": "/", "ttl": "1s"}},
        ),
        (HashKey(on=HashOn.COOKIE, name="c"), {"cookie": {"name": "c"}}),
    ],
)
def test_what_is_hashed(key: HashKey, expected: dict[str, Any]) -> None:
    """By the destination's policy; the same for several is said once."""
    (route,) = shown(to(A, B), keys={A: key, B: key})
    assert route["route"]["hash_policy"] == [expected]


def test_headers_are_changed() -> None:
    """Set replaces, add appends; the authority is a rewrite, of a share or of all."""
    operations = HeaderOperations(set=(("a", "1"), ("Host", "h")), add=(("b", "2"),), remove=("c",))
    (route,) = shown(to(A, request=operations, response_headers=operations))
    assert route["request_headers_to_add"] == [
        {"header": {"key": "a", "value": "1"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"},
        {"header": {"key": "b", "value": "2"}},
    ]
    assert route["request_headers_to_remove"] == ["c"]
    assert [one["header"]["key"] for one in route["response_headers_to_add"]] == ["a", "b"]
    assert route["route"]["host_rewrite_literal"] == "h"
    shares = tuple(WeightedDestination(destination=one, request=operations) for one in (A, B))
    (split,) = shown(HttpRoute(destinations=shares))
    first = split["route"]["weighted_clusters"]["clusters"][0]
    assert first["host_rewrite_literal"] == "h"
    assert first["request_headers_to_remove"] == ["c"]
    (alone,) = shown(HttpRoute(destinations=shares[:1]))
    assert alone["route"]["host_rewrite_literal"] == "h"


@pytest.mark.parametrize(
    ("rewrite", "path", "expected"),
    [
        (Rewrite(path="/b"), TextMatch(PREFIX, "/a"), {"prefix_rewrite": "/b"}),
        (Rewrite(authority="h"), None, {"host_rewrite_literal": "h"}),
        (
            Rewrite(pattern="a(.)", substitution="\\1"),
            None,
            {"regex_rewrite": {"pattern": {"regex": "a(.)"}, "substitution": "\\1"}},
        ),
        (
            Rewrite(whole_path="/w"),
            None,
            {"regex_rewrite": {"pattern": {"regex": "^[^?]*"}, "substitution": "/w"}},
        ),
        (
            Rewrite(path="/b"),
            TextMatch(REGEX, "/a.*"),
            {"regex_rewrite": {"pattern": {"regex": "/a.*"}, "substitution": "/b"}},
        ),
        (
            Rewrite(path="/"),
            TextMatch(TextMatchKind.SEGMENTS, "/a.b"),
            {"regex_rewrite": {"pattern": {"regex": "^/a\\.b/?"}, "substitution": "/"}},
        ),
    ],
)
def test_rewrites(rewrite: Rewrite, path: TextMatch | None, expected: dict[str, Any]) -> None:
    """What the condition matched is replaced, by prefix or by expression."""
    (route,) = shown(to(A, rewrite=rewrite, matches=(HttpMatch(path=path),)))
    assert expected.items() <= route["route"].items()


@pytest.mark.parametrize(
    ("redirect", "expected"),
    [
        (Redirect(path="/b"), {"path_redirect": "/b"}),
        (
            Redirect(prefix="/b", status=308),
            {"prefix_rewrite": "/b", "response_code": "PERMANENT_REDIRECT"},
        ),
        (
            Redirect(authority="h", scheme="https", port=443, status=307),
            {
                "host_redirect": "h",
                "scheme_redirect": "https",
                "response_code": "TEMPORARY_REDIRECT",
            },
        ),
        (
            Redirect(scheme="https", port=8443),
            {"scheme_redirect": "https", "port_redirect": 8443},
        ),
        (Redirect(port=RedirectPort.PROTOCOL), {"port_redirect": 80}),
        (Redirect(port=RedirectPort.REQUEST, status=303), {"response_code": "SEE_OTHER"}),
    ],
)
def test_redirects(redirect: Redirect, expected: dict[str, Any]) -> None:
    """A port that the scheme implies is not written out."""
    (route,) = shown(HttpRoute(redirect=redirect))
    assert route["redirect"] == expected


def test_direct_responses_faults_cors_and_mirrors() -> None:
    """Each where Envoy wants it; a mirror that is not there is left out."""
    (route,) = shown(HttpRoute(response=DirectResponse(status=410)))
    assert route["direct_response"] == {"status": 410}
    (route,) = shown(
        to(
            A,
            is_websocket=True,
            fault=FaultInjection(
                delay=Delay(seconds=1.0, percent=0.1), abort=Abort(grpc_status=14)
            ),
            cors=Cors(
                origins=(TextMatch(EXACT, "o"),),
                max_age=60.0,
                is_credentials_allowed=False,
                is_unmatched_forwarded=True,
            ),
            mirrors=(Mirror(destination=A, percent=50.0), Mirror(destination=B)),
        ),
        missing=(B,),
    )
    filters = route["typed_per_filter_config"]
    fault = filters["envoy.filters.http.fault"]
    assert fault["delay"]["percentage"] == {"numerator": 1000, "denominator": "MILLION"}
    assert fault["abort"]["grpc_status"] == 14
    cors = filters["envoy.filters.http.cors"]
    assert (cors["max_age"], cors["allow_credentials"]) == ("60", False)
    assert cors["forward_not_matching_preflights"] is True
    (mirror,) = route["route"]["request_mirror_policies"]
    assert mirror["cluster"] == "a"
    assert mirror["runtime_fraction"]["default_value"] == {"numerator": 50}
    assert route["route"]["upgrade_configs"] == [{"upgrade_type": "websocket"}]
    (route,) = shown(to(A, fault=FaultInjection(abort=Abort(http_status=500))))
    assert (
        route["typed_per_filter_config"]["envoy.filters.http.fault"]["abort"]["http_status"] == 500
    )


def test_percentages_are_exact() -> None:
    """Whole ones of a hundred, others of a million."""
    assert (fraction(7).numerator, fraction(0.0001).numerator) == (7, 1)


def rule(*callers: CallerMatch, **more: Any) -> RouteRule:
    """A rule with one route for each caller."""
    return RouteRule(
        http=tuple(
            to(A, name=str(i), matches=(HttpMatch(caller=one),)) for i, one in enumerate(callers)
        ),
        **more,
    )


@pytest.mark.parametrize(
    ("caller", "is_meant"),
    [
        (CallerMatch(), True),
        (CallerMatch(port=80), True),
        (CallerMatch(port=81), False),
        (CallerMatch(source_namespace="web"), True),
        (CallerMatch(source_namespace="pay"), False),
        (CallerMatch(source_labels=Labels({"app": "x"})), True),
        (CallerMatch(source_labels=Labels({"app": "y"})), False),
        (CallerMatch(gateways=("shop/edge",)), False),
        (CallerMatch(gateways=("shop/edge", MESH)), True),
    ],
)
def test_routes_are_sent_to_whom_they_are_for(caller: CallerMatch, is_meant: bool) -> None:
    """Who calls is decided here, and no proxy is told."""
    place = CalledAt(port=80, namespace="web", labels=Labels({"app": "x"}))
    assert bool(caller_routes(rule(caller), place)) is is_meant


def test_nothing_comes_after_what_takes_everything() -> None:
    """And a route keeps only the conditions that are for the caller."""
    found = caller_routes(
        rule(CallerMatch(port=81), CallerMatch(), CallerMatch()), CalledAt(port=80)
    )
    assert [route.name for route in found] == ["1"]
    both = (HttpMatch(caller=CallerMatch(port=81)), HttpMatch(path=TextMatch(EXACT, "/")))
    mixed = evolve(rule(CallerMatch()), http=(to(A, matches=both), to(B)))
    first, second = caller_routes(mixed, CalledAt(port=80))
    assert (first.matches, second.matches) == (both[1:], ())


def test_the_gateways_of_the_rule_count_unless_a_match_names_its_own() -> None:
    """As in Istio."""
    at_edge = CalledAt(gateway="shop/edge")
    assert caller_routes(rule(CallerMatch(), gateways=("shop/edge",)), at_edge)
    assert not caller_routes(rule(CallerMatch()), at_edge)
