"""The section ``merge``: which source wins what, for which services."""

from __future__ import annotations

import pytest

from meshregistry.errors import ConfigError
from meshregistry.model import MergePolicy, ServiceKey, Union
from meshregistry.settings import Settings


def policies(text):
    """The answers of a section."""
    return Settings.parse("merge:\n" + text, environ={}).merge.policies()


def asked(text, key):
    """What a section says of one service."""
    return policies(text)(ServiceKey.parse(key))


def test_without_a_word_it_is_the_policy_of_the_contract():
    """So that the settings need no such section."""
    assert MergePolicy() == Settings().merge.policies()(ServiceKey.parse("shop/a.shop"))


def test_every_field_may_have_its_own_order():
    """Beside that of the service; a field without one has none."""
    policy = asked(
        "  order: [k8s]\n  from: {protocol: [dc1, k8s], labels: []}\n"
        "  ports: first\n  endpoints: failover\n  labels: unite\n",
        "a.shop",
    )
    assert policy == MergePolicy(
        order=["k8s"],
        orders={"protocol": ["dc1", "k8s"]},
        ports=Union.FIRST,
        endpoints=Union.FAILOVER,
        labels=Union.UNITE,
    )


OVERRIDES = """
  labels: unite
  from: {labels: [k8s], protocol: [k8s]}
  overrides:
    - {host: a.shop, endpoints: first, from: {protocol: [dc1]}}
    - {host: "*.shop", namespace: shop, order: [dc1]}
    - {namespace: shop, labels: first}
    - {host: "*", ports: first}
"""


@pytest.mark.parametrize(
    ("key", "endpoints", "order", "labels", "ports"),
    [
        ("other/A.shop", Union.FIRST, (), Union.UNITE, Union.UNITE),
        ("shop/b.shop", Union.UNITE, ("dc1",), Union.UNITE, Union.UNITE),
        ("shop/b.other", Union.UNITE, (), Union.FIRST, Union.UNITE),
        ("other/b.shop", Union.UNITE, (), Union.UNITE, Union.FIRST),
    ],
)
def test_the_first_override_that_fits_counts(key, endpoints, order, labels, ports):
    """By name, end of name, or namespace; what it leaves open is as for all others."""
    policy = asked(OVERRIDES, key)
    assert (policy.endpoints, policy.order, policy.labels, policy.ports) == (
        endpoints,
        order,
        labels,
        ports,
    )


def test_the_orders_of_an_override_stand_beside_the_general_ones():
    """Field by field."""
    policy = asked(OVERRIDES, "a.shop")
    assert policy.orders == (("labels", ("k8s",)), ("protocol", ("dc1",)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("  endpoints: fail\n", "merge.endpoints: 'fail' is not one of the choices"),
        ("  ports: failover\n", "merge.ports: 'failover' is not one of the choices"),
        ("  from: {port: [a]}\n", "did you mean ports?"),
        ("  overrides: [{ports: first}]\n", "it fits no service: name a host or a namespace"),
        ("  overrides: [{host: a b}]\n", "merge.overrides[0].host: 'a b' is not a host name"),
    ],
)
def test_faults_have_a_place_and_a_remedy(text, message):
    """As everywhere."""
    with pytest.raises(ConfigError) as caught:
        policies(text)
    assert message in str(caught.value)


def test_the_sources_that_are_named_are_known_with_their_places():
    """Whether they exist is not known before the pilot is made: it may bring some itself."""
    settings = Settings.parse(
        "merge:\n  order: [a]\n  from: {ports: [b]}\n  overrides: [{host: x, order: [c]}]\n",
        file="mesh.yaml",
        environ={},
    )
    assert [
        ("a", 2, "merge.order[0]"),
        ("b", 3, "merge.from.ports[0]"),
        ("c", 4, "merge.overrides[0].order[0]"),
    ] == [(one.source, one.place.line, one.place.path) for one in settings.mentions]
