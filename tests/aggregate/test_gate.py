"""The start gate opens once, when everybody has spoken."""

from __future__ import annotations

from meshregistry.aggregate._gate import PATIENCE, StartGate


def gate_of(**members):
    """A gate that expects these members from time 0."""
    gate = StartGate()
    for member, words in members.items():
        gate.expect(member, 0.0, **words)
    return gate


def test_the_gate_of_nobody_opens_at_once():
    """Without sources there is nothing to wait for."""
    assert StartGate().check(0.0)


def test_every_source_must_have_synced():
    """The last one opens it."""
    gate = gate_of(a={}, b={})
    gate.synced("a")
    assert not gate.check(1e9)
    assert gate.holders(1e9) == ("b",)
    gate.synced("b")
    assert gate.check(1e9)


def test_sync_timeout_lets_those_pass_that_are_not_required():
    """A required source with the same time-out holds the gate all the same."""
    gate = gate_of(a={"is_required": False, "sync_timeout": 3.0})
    assert gate.next_deadline() == 3.0
    assert not gate.check(2.9)
    assert gate.check(3.0)
    assert not gate_of(a={"sync_timeout": 3.0}).check(1e9)


def test_a_source_that_is_not_required_has_a_default_timeout():
    """It is waited for a little, so that a restart does not lose its services for a moment."""
    gate = gate_of(a={"is_required": False})
    assert gate.next_deadline() == PATIENCE
    assert not gate.check(PATIENCE - 0.1)


def test_time_changes_nothing_while_a_required_source_is_missing():
    """There is no deadline to wake for."""
    gate = gate_of(a={}, b={"is_required": False, "sync_timeout": 3.0})
    assert gate.next_deadline() is None
    gate.synced("a")
    assert gate.next_deadline() == 3.0


def test_it_opens_once():
    """Members that are added later never close it."""
    gate = StartGate()
    assert gate.check(0.0)
    gate.expect("late", 1.0)
    assert gate.is_open
    assert gate.holders(1.0) == ()
