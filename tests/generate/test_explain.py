"""What becomes of a request at a proxy, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from meshregistry.generate import HttpRequest, Pipeline, World, decide, decision_document
from meshregistry.model import Catalog, Endpoint, Hostname, Labels, Proxy, ProxyRole
from meshregistry.rules import (
    Delay,
    Destination,
    DestinationPolicy,
    DirectResponse,
    FaultInjection,
    Gateway,
    GatewayServer,
    GatewayTls,
    HttpMatch,
    HttpRoute,
    NamedMatch,
    Origin,
    Redirect,
    RouteRule,
    RuleSet,
    Subset,
    TextMatch,
    TextMatchKind,
    WeightedDestination,
)

if TYPE_CHECKING:
    from conftest import EntryOf

HOST = Hostname("a.shop")
EXACT, PREFIX, SEGMENTS, REGEX, SUFFIX, PRESENT = (
    TextMatchKind.EXACT,
    TextMatchKind.PREFIX,
    TextMatchKind.SEGMENTS,
    TextMatchKind.REGEX,
    TextMatchKind.SUFFIX,
    TextMatchKind.PRESENT,
)
SIDECAR = Proxy(node_id="x", role=ProxyRole.SIDECAR, namespace="shop")


def to(*shares: tuple[str, int], **others: Any) -> HttpRoute:
    """A route to subsets, by weight."""
    destinations = tuple(
        WeightedDestination(destination=Destination(HOST, subset), weight=weight)
        for subset, weight in shares
    )
    return HttpRoute(**{"destinations": destinations, **others})


@pytest.fixture
def decided(entry_of: EntryOf) -> Any:
    """Decides about a request for a.shop by these routes; gives the document."""
    endpoints = tuple(
        Endpoint(address=f"10.0.0.{n}", port=80, labels=Labels({"version": f"v{n}"}))
        for n in (1, 2)
    )
    entry = entry_of("a.shop", endpoints=endpoints, namespace="shop")
    policy = DestinationPolicy(
        namespace="shop",
        host="a.shop",
        subsets=tuple(Subset(name=v, labels=Labels({"version": v})) for v in ("v1", "v2")),
        origin=Origin(kind="DestinationRule", namespace="shop", name="d", file="d.yaml", line=1),
    )

    def decide_it(
        *routes: HttpRoute, proxy: Proxy = SIDECAR, more: Any = (), rule: Any = None, **request: Any
    ) -> dict[str, Any]:
        own = {"namespace": "shop", "hosts": ("a.shop",), "http": routes, **(rule or {})}
        rules = RuleSet.of([policy, *([RouteRule(**own)] if routes else []), *more])
        world = World(catalog=Catalog.of([entry]), rules=rules)
        pipeline = Pipeline()
        view = pipeline.view(world, pipeline.proxy_key(world, proxy))
        asked = HttpRequest(**{"host": "a.shop", **request})
        return decision_document(view, world.catalog, asked, decide(view, proxy.role, asked))

    return decide_it


def test_without_rules_it_is_the_service_itself(decided) -> None:
    """With every endpoint and its policy."""
    document = decided()
    assert document["virtual_host"] == "a.shop:80"
    assert [step["route"] for step in document["steps"]] == ["the service itself"]
    (one,) = document["clusters"]
    assert (one["cluster"], one["percent"]) == ("outbound|80||a.shop", 100.0)
    assert len(one["endpoints"]) == 2
    assert one["policy"] == "DestinationRule shop/d (d.yaml:1)"


def test_the_first_route_that_takes_it_decides(decided) -> None:
    """The others say why not; shares are by weight, endpoints those of the subset."""
    origin = Origin(kind="VirtualService", namespace="shop", name="r", file="r.yaml", line=7)
    other = to(("v1", 1), name="api", matches=(HttpMatch(path=TextMatch(PREFIX, "/api")),))
    document = decided(other, to(("v1", 90), ("v2", 10), origin=origin), to(("v1", 1)))
    assert [(step["route"], bool(step["reason"])) for step in document["steps"]] == [
        ("api", True),
        ("a route", False),
    ]
    assert document["steps"][0]["reason"] == "the path / is not: prefix /api"
    assert document["steps"][1]["origin"] == "VirtualService shop/r (r.yaml:7)"
    assert [(one["percent"], len(one["endpoints"])) for one in document["clusters"]] == [
        (90.0, 1),
        (10.0, 1),
    ]


def test_answers_and_redirects(decided) -> None:
    """By the proxy itself."""
    assert decided(HttpRoute(response=DirectResponse(status=418)))["status"] == 418
    document = decided(HttpRoute(redirect=Redirect(path="/x", scheme="https", status=307)))
    assert (document["status"], document["redirect"]) == (307, "https://a.shop/x")
    assert decided(to(("none", 1)))["status"] == 503
    never = to(("v1", 1), matches=(HttpMatch(path=TextMatch(EXACT, "/never")),))
    assert decided(never)["status"] == 404
    assert decided(never, rule={"precedence": 1})["clusters"][0]["cluster"].endswith("||a.shop")


def test_what_happens_on_the_way_is_told(decided) -> None:
    """In words."""
    from meshregistry.documents import Seconds  # noqa: PLC0415 - for this test only

    fault = FaultInjection(delay=Delay(seconds=Seconds(2.0), percent=10.0))
    document = decided(to(("v1", 1), timeout=Seconds(3.0), fault=fault))
    assert document["details"] == ["time-out 3 s", "10 % are delayed by 2 s"]


def test_a_gateway_s_hosts_and_redirects(decided) -> None:
    """Wildcards, the longest first; plain HTTP may be sent to https."""
    router = Proxy(node_id="edge", role=ProxyRole.ROUTER)
    server = GatewayServer(port=8080, hosts=("*/*.example",))
    gateway = Gateway(namespace="shop", name="g", servers=(server,))
    rule = {"hosts": ("*.example", "www.example"), "gateways": ("shop/g",)}
    asked = {"proxy": router, "more": [gateway], "rule": rule, "port": 8080}
    assert decided(to(("v1", 1)), host="www.example", **asked)["virtual_host"] == "www.example:8080"
    assert decided(to(("v1", 1)), host="X.example", **asked)["virtual_host"] == "*.example:8080"
    assert decided(to(("v1", 1)), host="x.other", **asked)["status"] == 404
    tls = Gateway(
        namespace="shop",
        name="g",
        servers=(GatewayServer(port=8080, tls=GatewayTls(is_redirect=True)),),
    )
    document = decided(to(("v1", 1)), host="www.example", **{**asked, "more": [tls]})
    assert document["redirect"] == "https://www.example/"


def test_a_port_without_routes_is_an_error(decided) -> None:
    """There is nothing to explain."""
    with pytest.raises(LookupError, match="port 81"):
        decided(port=81)


def one(**match: Any) -> HttpMatch:
    """A condition."""
    return HttpMatch(**match)


@pytest.mark.parametrize(
    ("match", "request_", "is_taken"),
    [
        (one(path=TextMatch(EXACT, "/a")), {"target": "/a?b=c"}, True),
        (one(path=TextMatch(SEGMENTS, "/a")), {"target": "/a/b"}, True),
        (one(path=TextMatch(SEGMENTS, "/a")), {"target": "/ab"}, False),
        (one(path=TextMatch(REGEX, "/a.")), {"target": "/abc"}, False),
        (one(path=TextMatch(SUFFIX, "c")), {"target": "/abc"}, True),
        (one(path=TextMatch(EXACT, "/A"), is_case_ignored=True), {"target": "/a"}, True),
        (one(method=TextMatch(EXACT, "GET")), {"method": "PUT"}, False),
        (one(scheme=TextMatch(EXACT, "https")), {}, False),
        (one(authority=TextMatch(PREFIX, "a.")), {}, True),
        (one(headers=(NamedMatch("x", TextMatch(EXACT, "1")),)), {}, False),
        (one(headers=(NamedMatch("x", TextMatch(EXACT, "1")),)), {"headers": {"x": "1"}}, True),
        (one(headers=(NamedMatch("x", TextMatch(PRESENT), is_inverted=True),)), {}, True),
        (one(headers=(NamedMatch("x", TextMatch(EXACT, "1"), is_inverted=True),)), {}, True),
        (one(headers=(NamedMatch("x", TextMatch(REGEX, ".*"), is_inverted=True),)), {}, False),
        (one(headers=(NamedMatch(":method", TextMatch(EXACT, "GET")),)), {}, True),
        (one(query=(NamedMatch("q", TextMatch(PRESENT)),)), {"target": "/?q"}, True),
        (one(query=(NamedMatch("q", TextMatch(EXACT, "1")),)), {"target": "/?q=1&q=2"}, True),
        (one(query=(NamedMatch("q", TextMatch(EXACT, "2")),)), {"target": "/?q=1&q=2"}, False),
        (one(query=(NamedMatch("q", TextMatch(PREFIX, "")),)), {"target": "/"}, False),
    ],
)
def test_conditions(decided, match, request_, is_taken) -> None:
    """As Envoy's documentation of route matching has them."""
    document = decided(to(("v1", 1), matches=(match,)), **request_)
    assert (document["status"] == 0) is is_taken
    assert (document["steps"][0]["reason"] == "") is is_taken
