"""Commands that write decisions into a rule source."""

from __future__ import annotations

import pytest
import yaml

from meshregistry import Pilot, ServiceRecord, Settings
from meshregistry.documents import Document, parse, rule_document
from meshregistry.rules import read_rules

SETTINGS = (
    "sources:\n  - {id: eureka, kind: file, path: services.yaml}\n"
    "  - {id: consul, kind: file, path: services.yaml}\n"
    "rules:\n  - {kind: file, path: rules}\nserver: {xds: '127.0.0.1:0'}\n"
)


@pytest.fixture
def rules(folder):
    """A folder that a rule source watches."""
    (folder / "mesh.yaml").write_text(SETTINGS)
    (folder / "rules").mkdir()
    return folder / "rules"


def decision(path):
    """What a file says, which is read without complaint."""
    (document,) = parse(path.read_text(), file=str(path))
    assert isinstance(document, Document)
    reading = read_rules(rule_document(document.root), "mesh.local")
    assert (reading.errors, reading.warnings) == ((), ())
    (rule,) = reading.rules
    return rule


def test_a_shift_is_written_and_taken_back(rules, run):
    """One document for a host, whatever the shares; the place is told."""
    ran = run("shift", "reviews.shop", "eureka=90", "consul=10")
    path = rules / "sourceshift-reviews.shop.yaml"
    assert (ran.code, ran.err) == (0, "")
    assert f"SourceShift reviews.shop: written to {path}" in ran.out
    assert decision(path).shares == (("consul", 10), ("eureka", 90))
    assert run("shift", "reviews.shop", "eureka=0", "consul=1").code == 0
    assert decision(path).shares == (("consul", 1), ("eureka", 0))
    assert list(rules.iterdir()) == [path]
    assert run("shift", "reviews.shop", "--undo").code == 0
    assert list(rules.iterdir()) == []
    ran = run("shift", "reviews.shop", "--undo")
    assert ran.code == 1
    assert "has no SourceShift reviews.shop of ours" in ran.err


def test_a_shift_of_all_hosts_has_a_name(rules, run):
    """Also one with a namespace."""
    assert run("shift", "*", "eureka=1", "--namespace", "shop").code == 0
    one = decision(rules / "sourceshift-shop-any.yaml")
    assert (one.hosts, one.namespace, one.name) == (("*",), "shop", "any")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["shift", "a.b", "eureka=x"], 2, "write SOURCE=WEIGHT"),
        (["shift", "a.b"], 2, "write shares"),
        (["shift", "a.b", "eureka=1", "--undo"], 2, "write shares"),
        (["shift", "a.b", "eurika=1"], 1, "no source eurika"),
        (["shift", "a.b", "eureka=0"], 1, "no source gets anything"),
        (["shift", "a.b", "eureka=1", "--to", "files"], 1, "no rule source files"),
        (["shift", "a b", "eureka=1"], 1, "not a host name"),
        (["sources", "accept", "dc1"], 1, "no source dc1"),
        (["sources", "accept", "consul", "--until", "soon"], 2, "not a time"),
    ],
)
def test_what_is_wrong_writes_nothing(rules, run, words, code, message):
    """And says why."""
    ran = run(*words)
    assert ran.code == code
    assert message in ran.err
    assert list(rules.iterdir()) == []


def test_a_loss_is_accepted(rules, run):
    """As of now; `sources` alone still lists."""
    ran = run("sources", "accept", "consul", "--part", "DC 1", "--reason", "closed: for good")
    path = rules / "lossacceptance-consul-dc-1.yaml"
    assert ran.code == 0, ran.err
    one = decision(path)
    assert (one.source, one.part, one.reason) == ("consul", "DC 1", "closed: for good")
    assert one.is_accepted("consul", "DC 1", one.lost_by)
    assert yaml.safe_load(path.read_text())["spec"]["lostBy"].endswith("Z")
    assert run("sources", "accept", "consul", "--until", "2100-01-01T00:00:00Z").code == 0
    assert decision(rules / "lossacceptance-consul.yaml").until == 4102444800.0
    assert "eureka" in run("sources").out


def test_without_a_writable_rule_source_there_is_no_place(folder, run):
    """The remedy is named."""
    ran = run("sources", "accept", "vms")
    assert ran.code == 1
    assert "no rule source can be written to" in ran.err


def test_what_is_accepted_is_let_go_of(rules, run):
    """The guard of a running pilot reads what the command has written."""
    (rules.parent / "mesh.yaml").write_text(
        "sources: [{id: mine, kind: memory, guard: on}]\nrules: [{kind: file, path: rules}]\n"
        "server: {xds: '127.0.0.1:0'}\n"
    )
    many = [f"10.0.0.{number}:80" for number in range(1, 31)]
    with Pilot.in_thread(Settings.load(rules.parent / "mesh.yaml")) as pilot:
        pilot.memory("mine").upsert(ServiceRecord.parse("a.b", port=80, endpoints=many))
        pilot.published(timeout=10)
        changes = pilot.changes(since=pilot.catalog)
        pilot.memory("mine").upsert(ServiceRecord.parse("a.b", port=80, endpoints=many[:2]))
        pilot.published(timeout=10)
        assert len(pilot.catalog.endpoints("a.b")) == 30
        assert run("sources", "accept", "mine").code == 0
        while len(pilot.catalog.endpoints("a.b")) != 2:
            next(changes)


def test_check_warns_of_sources_that_are_not_there(rules, run):
    """A misspelt one would silently get nothing."""
    (rules / "a.yaml").write_text(
        "apiVersion: meshregistry.dev/v1\nkind: SourceShift\nmetadata: {name: a}\n"
        "spec: {weights: {eurika: 90, consul: 10}}\n"
    )
    ran = run("check", "mesh.yaml")
    assert ran.code == 0
    assert "SourceShift a names the source eurika, which the settings do not have" in ran.out
    assert "did you mean eureka" in ran.out
