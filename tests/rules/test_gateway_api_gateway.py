"""Gateway and ReferenceGrant of the Gateway API."""

from __future__ import annotations

import pytest

from meshregistry.model import Hostname, Selector
from meshregistry.rules import (
    ConnectionRoute,
    Destination,
    GatewayServer,
    GatewayTls,
    GatewayTlsMode,
    Grant,
    HttpRoute,
    Mirror,
    RouteRule,
    RuleSet,
    ServerProtocol,
    WeightedDestination,
)

API = "gateway.networking.k8s.io/v1"
FILES = "options: {meshregistry.dev/certificate: /c, meshregistry.dev/private-key: /k}"


def listeners(spec, text):
    """The servers of a gateway without errors."""
    reading = spec("Gateway", f"{{gatewayClassName: x, listeners: [{text}]}}", API)
    assert ((), ()) == (reading.errors, reading.warnings)
    (gateway,) = reading.rules
    assert gateway.selector == Selector({"gateway.networking.k8s.io/gateway-name": "a"})
    return gateway.servers


def test_listeners_are_servers(spec):
    """Routes of the same namespace, unless all may."""
    plain, every = listeners(
        spec,
        "{name: web, port: 80, protocol: HTTP}, {name: all, port: 81, protocol: TCP, "
        "hostname: '*.X.example', allowedRoutes: {namespaces: {from: All}}}",
    )
    assert plain == GatewayServer(port=80, port_name="web", name="web", hosts=("shop/*",))
    assert (every.protocol, every.hosts) == (ServerProtocol.TCP, ("*/*.x.example",))


def test_tls_ends_with_files_or_passes(spec):
    """Certificates by name cannot be had."""
    ended, passed = listeners(
        spec,
        f"{{name: a, port: 443, protocol: HTTPS, tls: {{{FILES}}}}}, "
        "{name: b, port: 444, protocol: TLS, tls: {mode: Passthrough}}",
    )
    assert ended.tls == GatewayTls(
        mode=GatewayTlsMode.SIMPLE, server_certificate="/c", private_key="/k"
    )
    assert passed.tls == GatewayTls(mode=GatewayTlsMode.PASSTHROUGH)


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("{}", "spec.listeners", "listeners"),
        ("{listeners: [{name: a, port: 80, protocol: UDP}]}", "spec.listeners[0].protocol", "UDP"),
        (
            "{listeners: [{name: a, port: 80, protocol: HTTP, hostname: a_!}]}",
            "spec.listeners[0]",
            "host",
        ),
        (
            "{listeners: [{name: a, port: 80, protocol: HTTP, tls: {}}]}",
            "spec.listeners[0]",
            "no tls",
        ),
        (
            "{listeners: [{name: a, port: 80, protocol: HTTPS}]}",
            "spec.listeners[0]",
            "no certificate",
        ),
        (
            "{listeners: [{name: a, port: 80, protocol: HTTPS, tls: {mode: Passthrough}}]}",
            "spec.listeners[0]",
            "cannot be read",
        ),
        (
            (
                "{listeners: [{name: a, port: 80, protocol: HTTP, "
                "allowedRoutes: {namespaces: {from: Selector}}}]}"
            ),
            "spec.listeners[0].allowedRoutes.namespaces.from",
            "by label",
        ),
        (
            "{listeners: [{name: a, port: 80, protocol: HTTP, allowedRoutes: {namespaces: All}}]}",
            "spec.listeners[0].allowedRoutes.namespaces",
            "mapping",
        ),
    ],
)
def test_what_is_wrong_has_a_place(spec, text, place, reason):
    """And a reason."""
    errors = spec("Gateway", text, API).errors
    assert any(one.field == place and reason in one.message for one in errors), errors


def test_a_grant_names_who_may_and_what(spec):
    """All services if none is named."""
    text = (
        "{from: [{group: g, kind: HTTPRoute, namespace: web}], to: [{group: '', kind: Service%s}]}"
    )
    (every,) = spec("ReferenceGrant", text % "", API).rules
    assert every == Grant(namespace="shop", name="a", askers=("HTTPRoute/web",), services=("",))
    (one,) = spec("ReferenceGrant", text % ", name: b", API).rules
    assert one.services == ("b",)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("{to: [{kind: Service}]}", "spec"),
        ("{from: [x], to: [{kind: Service}]}", "spec.from[0]"),
        ("{from: [{kind: A}], to: [{kind: Service}]}", "spec.from[0]"),
        ("{from: [{kind: A, namespace: b, nam: c}], to: [{kind: Service}]}", "spec.from[0].nam"),
        ("{from: [{kind: A, namespace: b}]}", "spec.to"),
    ],
)
def test_what_is_wrong_with_a_grant(spec, text, place):
    """Has a place."""
    assert any(one.field == place for one in spec("ReferenceGrant", text, API).errors)


OURS = Destination(Hostname("b.shop.svc.mesh.local"), "", 80, "HTTPRoute/web")


@pytest.mark.parametrize(
    ("grant", "is_granted"),
    [
        (Grant(namespace="shop", askers=("HTTPRoute/web",), services=("",)), True),
        (Grant(namespace="shop", askers=("HTTPRoute/web",), services=("b",)), True),
        (Grant(namespace="shop", askers=("HTTPRoute/web",), services=("c",)), False),
        (Grant(namespace="shop", askers=("GRPCRoute/web",), services=("",)), False),
        (Grant(namespace="pay", askers=("HTTPRoute/web",), services=("",)), False),
    ],
)
def test_a_rule_set_knows_what_is_granted(grant: Grant, is_granted: bool) -> None:
    """Of every sort of route; what nobody granted keeps its asker."""
    share = WeightedDestination(destination=OURS)
    rule = RouteRule(
        hosts=("h",),
        http=(HttpRoute(destinations=(share,), mirrors=(Mirror(destination=OURS),)),),
        tls=(ConnectionRoute(destinations=(share,)),),
        tcp=(ConnectionRoute(destinations=(share,)),),
    )
    (made,) = RuleSet.of([rule, grant]).routes
    found = {
        made.http[0].destinations[0].destination.asker,
        made.http[0].mirrors[0].destination.asker,
        made.tls[0].destinations[0].destination.asker,
        made.tcp[0].destinations[0].destination.asker,
    }
    assert found == {"" if is_granted else "HTTPRoute/web"}
