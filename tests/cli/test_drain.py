"""``meshregistry drain`` against a pilot in a thread."""

from __future__ import annotations

import time

import pytest
import yaml

from meshregistry import Pilot, ServiceRecord, Settings
from meshregistry.model import Health

PLACE = "drain-reviews.shop-10.0.0.1-9080.yaml"


@pytest.fixture
def rules(folder):
    """A folder that the pilot and the commands share."""
    (folder / "mesh.yaml").write_text(
        "sources: [{id: mine, kind: memory}]\nrules: [{kind: file, path: rules}]\n"
        "server: {xds: '127.0.0.1:0'}\n"
    )
    (folder / "rules").mkdir()
    return folder / "rules"


@pytest.fixture
def pilot(rules):
    """It serves one service with two endpoints."""
    with Pilot.in_thread(Settings.load(rules.parent / "mesh.yaml")) as pilot:
        record = ServiceRecord.parse(
            "reviews.shop", port=9080, endpoints=["10.0.0.1:9080", "10.0.0.2:9080"]
        )
        pilot.memory("mine").upsert(record)
        pilot.published(timeout=10)
        yield pilot


@pytest.fixture
def drain(run, pilot):
    """Runs the command against the pilot."""

    def call(*words):
        return run("drain", *words, "--server", f"http://{pilot.http_address}")

    return call


def healths(pilot):
    """By address, what the catalog says."""
    return {one.address: one.health for one in pilot.catalog.endpoints("reviews.shop")}


def until(holds):
    """Wait until a condition holds."""
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_without_waiting_it_drains(drain, pilot, rules):
    """The document says so, and the catalog follows; --undo takes it back."""
    ran = drain("reviews.shop", "10.0.0.1:9080", "--reason", "new disk")
    assert (ran.code, ran.err) == (0, "")
    written = yaml.safe_load((rules / PLACE).read_text())
    assert written["spec"] == {
        "host": "reviews.shop",
        "address": "10.0.0.1",
        "port": 9080,
        "reason": "new disk",
        "phase": "DRAINING",
    }
    until(lambda: healths(pilot)["10.0.0.1"] is Health.DRAINING)
    assert drain("reviews.shop", "10.0.0.1:9080", "--undo").code == 0
    until(lambda: healths(pilot)["10.0.0.1"] is Health.HEALTHY)


def test_with_waiting_it_is_gone(drain, pilot, rules):
    """The command says whom that covers; the document stays."""
    ran = drain("reviews.shop", "10.0.0.1:9080", "--wait", "--grace", "0s")
    assert (ran.code, ran.err) == (0, "")
    assert "10.0.0.1:9080 is drained: 0 proxies let go of it, proxies of other" in ran.out
    assert list(healths(pilot)) == ["10.0.0.2"]
    assert yaml.safe_load((rules / PLACE).read_text())["spec"]["phase"] == "REMOVED"


def test_what_takes_too_long_is_an_error(drain, pilot):
    """It names who is still led there; the document stays."""
    ran = drain("reviews.shop", "10.0.0.1:9080", "--wait", "--grace", "5s", "--timeout", "100ms")
    assert ran.code == 1
    assert "10.0.0.1:9080 is not drained within 0.1 s: still in reviews.shop" in ran.err


def test_the_last_one_is_not_drained_unless_forced(drain, pilot, rules):
    """Nor is one that is not there."""
    assert drain("reviews.shop", "10.0.0.1:9080", "--wait", "--grace", "0s").code == 0
    ran = drain("reviews.shop", "10.0.0.2:9080")
    assert ran.code == 1
    assert "the last healthy endpoint of reviews.shop" in ran.err
    assert [one.name for one in rules.iterdir()] == [PLACE]
    assert drain("reviews.shop", "10.0.0.2:9080", "--force").code == 0
    ran = drain("reviews.shop", "10.0.0.9:9080")
    assert ran.code == 1
    assert "has no endpoint 10.0.0.9:9080" in ran.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["10.0.0.1"], "write address:port"),
        (["10.0.0.1:80", "--wait", "--grace", "5"], "not a duration"),
    ],
)
def test_wrong_words_are_wrong_usage(drain, words, message):
    """Exit code 2."""
    ran = drain("reviews.shop", *words, "--force")
    assert ran.code == 2
    assert message in ran.err
