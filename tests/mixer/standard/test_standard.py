"""The standard configuration has no fault, and its dashboards ask for what it measures."""

from __future__ import annotations

import re

import pytest

from meshregistry.documents import RuleUnit
from meshregistry.mixer.adapters import ADAPTERS
from meshregistry.mixer.config import Known, snapshot
from meshregistry.mixer.spi import TEMPLATES, Variety
from meshregistry.mixer.standard import dashboard, dashboards, standard_text, standard_units

HTTP = {"requests_total", "request_duration_seconds", "request_bytes", "response_bytes"}
TCP = {
    *("tcp_sent_bytes_total", "tcp_received_bytes_total"),
    *("tcp_connections_opened_total", "tcp_connections_closed_total"),
}
SIDE = ("app", "principal", "workload", "workload_namespace", "version")
TCP_LABELS = {
    *("reporter", "response_flags", "connection_security_policy"),
    *(f"{side}_{name}" for side in ("source", "destination") for name in SIDE),
    *(f"destination_service{end}" for end in ("", "_name", "_namespace")),
}
HTTP_LABELS = TCP_LABELS | {
    *("request_protocol", "response_code"),
    *("permissive_response_code", "permissive_response_policyid"),
}


def built(units):
    """The snapshot of the documents, which have no fault."""
    faults = [fault for unit in units for fault in unit.faults]
    documents = [document for unit in units for document in unit.documents]
    made = snapshot(documents, Known.of(ADAPTERS, TEMPLATES), faults)
    assert [] == [str(one) for one in faults]
    return made


def metrics():
    """The labels of each metric, by its full name."""
    (plan,) = (one for one in built(standard_units()).handlers if one.adapter.name == "prometheus")
    return {one.full_name: set(one.label_names) for one in plan.config.metrics}


def test_it_has_no_fault():
    """Every rule has its instances and handlers, also in the default namespace only."""
    made = built(standard_units())
    assert ["prometheus.istio-system", "stdio.istio-system"] == sorted(
        one.title for one in made.handlers
    )
    sent = [
        (one.rule, len(one.builders))
        for destination in made.default.destinations[Variety.REPORT]
        for one in destination.sent
    ]
    assert {
        "promhttp.rule.istio-system": 4,
        "promtcp.rule.istio-system": 2,
        "promtcpconnectionopen.rule.istio-system": 1,
        "promtcpconnectionclosed.rule.istio-system": 1,
        "stdio.rule.istio-system": 1,
        "stdiotcp.rule.istio-system": 1,
    } == dict(sent)
    assert {} == made.by_namespace


def test_as_one_text_it_is_the_same():
    """So that it can be written into a file and changed."""
    made = built([RuleUnit.of_text("standard.yaml", standard_text())])
    assert built(standard_units()).handlers == made.handlers


def test_the_metrics_are_istios():
    """Names and labels of Istio 1.x; queries of others' dashboards go on working."""
    assert {
        **{f"istio_{name}": HTTP_LABELS for name in HTTP},
        **{f"istio_{name}": TCP_LABELS for name in TCP},
    } == metrics()


def queries(name):
    """The queries of a dashboard, by the titles of their panels."""
    return [
        (panel["title"], target["expr"])
        for panel in dashboard(name)["panels"]
        for target in panel["targets"]
    ]


def test_there_are_two_dashboards():
    """One of the whole mesh, one of a service."""
    assert ("mesh", "service") == dashboards()
    with pytest.raises(KeyError):
        dashboard("other")


@pytest.mark.parametrize("name", ["mesh", "service"])
class TestDashboard:
    def test_queries_know_their_metrics_and_labels(self, name):
        """A misspelt label is a panel that is empty for ever."""
        known = metrics()
        assert queries(name)
        for title, query in queries(name):
            used = re.findall(r"istio_\w+", query)
            assert used, title
            bases = {re.sub(r"_(bucket|sum|count)$", "", one) for one in used}
            assert bases <= set(known), title
            labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", query))
            for listed in re.findall(r"by \(([^)]*)\)", query):
                labels |= {one.strip() for one in listed.split(",")}
            allowed = set.intersection(*(known[one] for one in bases)) | {"le"}
            assert labels <= allowed, title

    def test_panels_have_their_own_place(self, name):
        """No two share an id or cover each other."""
        panels = dashboard(name)["panels"]
        assert len(panels) == len({one["id"] for one in panels})
        covered = set()
        for one in panels:
            grid = one["gridPos"]
            cells = {
                (grid["x"] + x, grid["y"] + y) for x in range(grid["w"]) for y in range(grid["h"])
            }
            assert not cells & covered, one["title"]
            assert all(x < 24 for x, _ in cells), one["title"]
            covered |= cells

    def test_variables_are_declared(self, name):
        """Beside those that Grafana has by itself."""
        declared = {one["name"] for one in dashboard(name)["templating"]["list"]}
        for _, query in queries(name):
            assert set(re.findall(r"\$(\w+)", query)) <= declared | {"__rate_interval"}
