"""Gateway documents: what they become, and what is wrong with them."""

from __future__ import annotations

import pytest

from meshregistry.model import Selector
from meshregistry.rules import GatewayServer, GatewayTls, GatewayTlsMode, ServerProtocol


def servers(spec, text):
    """The servers of a gateway without errors."""
    reading = spec("Gateway", f"{{selector: {{gate: edge}}, servers: [{text}]}}")
    assert () == reading.errors
    (gateway,) = reading.rules
    assert (gateway.key, gateway.selector) == ("shop/a", Selector({"gate": "edge"}))
    return gateway.servers


def test_hosts_have_a_namespace(spec):
    """``.`` is the gateway's own, none is any."""
    (server,) = servers(
        spec, "{port: {number: 80, protocol: HTTP}, hosts: [A.example, ./b, web/*, '*']}"
    )
    assert server == GatewayServer(port=80, hosts=("*/a.example", "shop/b", "web/*", "*/*"))


def test_tls_that_ends_here(spec):
    """Every field of it; SIMPLE is HTTPS's default mode."""
    (server,) = servers(
        spec,
        "{port: {number: 443, protocol: HTTPS, name: https}, bind: 127.0.0.2, name: n, "
        "hosts: [a], tls: {serverCertificate: /c, privateKey: /k, minProtocolVersion: TLSV1_2, "
        "maxProtocolVersion: TLS_AUTO, cipherSuites: [X]}}",
    )
    assert (server.protocol, server.bind, server.name) == (ServerProtocol.HTTPS, "127.0.0.2", "n")
    assert server.tls == GatewayTls(
        mode=GatewayTlsMode.SIMPLE,
        server_certificate="/c",
        private_key="/k",
        minimum="TLSV1_2",
        cipher_suites=("X",),
    )


def test_tls_that_passes_needs_no_certificate(spec):
    """It is the default of the protocol TLS."""
    (server,) = servers(spec, "{port: {number: 443, protocol: TLS}, hosts: [a], tls: {}}")
    assert server.tls == GatewayTls(mode=GatewayTlsMode.PASSTHROUGH)


def test_clients_may_have_to_show_a_certificate(spec):
    """With roots and names to verify it by."""
    (server,) = servers(
        spec,
        "{port: {number: 443, protocol: HTTPS}, hosts: [a], tls: {mode: MUTUAL, "
        "serverCertificate: /c, privateKey: /k, caCertificates: /r, subjectAltNames: [n]}}",
    )
    assert server.tls is not None
    assert (server.tls.ca_certificates, server.tls.subject_alt_names) == ("/r", ("n",))


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("{}", "spec.servers", "missing"),
        ("{servers: [{hosts: [a]}]}", "spec.servers[0]", "port is missing"),
        (
            "{servers: [{port: {number: 80, protocol: HTTP}}]}",
            "spec.servers[0]",
            "no hosts",
        ),
        (
            "{servers: [{port: {number: 80, protocol: GOPHER}, hosts: [a]}]}",
            "spec.servers[0].port.protocol",
            "GOPHER",
        ),
        (
            "{servers: [{port: {number: 80, protocol: HTTP}, bind: eth0, hosts: [a]}]}",
            "spec.servers[0]",
            "IP address",
        ),
        (
            "{servers: [{port: {number: 443, protocol: HTTPS}, hosts: [a]}]}",
            "spec.servers[0]",
            "needs tls",
        ),
        (
            "{servers: [{port: {number: 443, protocol: HTTPS}, hosts: [a], tls: {mode: X}}]}",
            "spec.servers[0].tls.mode",
            "not a TLS mode",
        ),
        (
            (
                "{servers: [{port: {number: 443, protocol: TLS}, hosts: [a], "
                "tls: {mode: AUTO_PASSTHROUGH}}]}"
            ),
            "spec.servers[0].tls.mode",
            "not available",
        ),
        (
            (
                "{servers: [{port: {number: 443, protocol: HTTPS}, hosts: [a], "
                "tls: {mode: SIMPLE, httpsRedirect: true}}]}"
            ),
            "spec.servers[0].tls",
            "for plain HTTP",
        ),
        (
            "{servers: [{port: {number: 443, protocol: HTTPS}, hosts: [a], tls: {}}]}",
            "spec.servers[0].tls",
            "no certificate",
        ),
        (
            (
                "{servers: [{port: {number: 443, protocol: HTTPS}, hosts: [a], "
                "tls: {mode: PASSTHROUGH}}]}"
            ),
            "spec.servers[0].tls",
            "cannot be read",
        ),
        (
            (
                "{servers: [{port: {number: 443, protocol: HTTPS}, hosts: [a], "
                "tls: {mode: MUTUAL, serverCertificate: /c, privateKey: /k}}]}"
            ),
            "spec.servers[0].tls",
            "roots",
        ),
        (
            (
                "{servers: [{port: {number: 443, protocol: HTTPS}, hosts: [a], "
                "tls: {credentialName: c}}]}"
            ),
            "spec.servers[0].tls.credentialName",
            "by name",
        ),
    ],
)
def test_what_is_wrong_has_a_place_and_no_rules(spec, text, place, reason):
    """A document with an error says nothing at all."""
    reading = spec("Gateway", text)
    assert () == reading.rules
    assert any(error.field == place and reason in error.message for error in reading.errors), (
        reading.errors
    )


def test_what_has_no_effect_is_said(spec):
    """A port of the workload, which Istio has given up, too."""
    reading = spec(
        "Gateway",
        "{servers: [{port: {number: 80, protocol: HTTP, targetPort: 8080}, hosts: [a]}]}",
    )
    (warning,) = reading.warnings
    assert warning.field == "spec.servers[0].port.targetPort"
