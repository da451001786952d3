"""Merge policies, peers and verdicts."""

from __future__ import annotations

from meshregistry.model import MergePolicy, Peer, SourceId, Union, Verdict


def test_the_default_policy_unites_ports_and_endpoints():
    """Without a word ports and endpoints unite, and labels are the first source's."""
    assert MergePolicy() == MergePolicy(
        order=(), ports=Union.UNITE, endpoints=Union.UNITE, labels=Union.FIRST
    )


def test_a_policy_takes_its_order_as_any_iterable():
    """The order of a policy is kept as a tuple, so policies are hashable values."""
    policy = MergePolicy(order=[SourceId("b"), SourceId("a")])
    assert ("b", "a") == policy.order
    assert hash(policy) == hash(MergePolicy(order=("b", "a")))


def test_a_verdict_allows_or_refuses_for_a_reason():
    """A refusal has a reason, an allowance needs none."""
    assert Verdict(is_allowed=True) == Verdict.allow()
    assert Verdict(is_allowed=False, reason="no") == Verdict.refuse("no")


def test_a_peer_without_a_certificate_has_no_identities():
    """Only a verified certificate gives identities."""
    assert () == Peer(address="ipv4:127.0.0.1:1").identities
