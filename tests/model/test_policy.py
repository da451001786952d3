"""Merge policies, peers and verdicts."""

from __future__ import annotations

import pytest

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


def test_a_field_follows_its_own_order_and_then_that_of_the_service():
    """Each source once, at its first place."""
    policy = MergePolicy(order=["a", "b"], orders={"protocol": ["c", "b"]})
    assert ("c", "b", "a") == policy.order_of("protocol")
    assert ("a", "b") == policy.order_of("labels")
    assert hash(policy) == hash(MergePolicy(order=["a", "b"], orders=policy.orders))


def test_only_fields_that_are_merged_have_orders():
    """A misspelt one is named with those that there are."""
    with pytest.raises(ValueError, match="no field 'port' to merge: use addresses, endpoints"):
        MergePolicy(orders={"port": ["a"]})


def test_a_policy_says_what_it_says_beyond_the_default():
    """For people; the default says nothing."""
    policy = MergePolicy(
        order=["a"], orders={"protocol": ["b", "c"]}, endpoints=Union.FAILOVER, ports=Union.UNITE
    )
    assert str(policy) == "order a, protocol from b c, endpoints failover"
    assert str(MergePolicy()) == ""


@pytest.mark.parametrize("name", ["ports", "labels"])
def test_only_endpoints_fail_over(name):
    """A port has no priority."""
    with pytest.raises(ValueError, match=f"{name} know no failover"):
        MergePolicy(**{name: Union.FAILOVER})
