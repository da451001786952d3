"""The section ``identity``, and the key of that name of a source."""

from __future__ import annotations

import pytest

from meshregistry.errors import ConfigError
from meshregistry.model import ServiceKey
from meshregistry.settings import Settings

TEXT = """
sources:
  - {id: dc1, kind: memory}
  - {id: eureka, kind: memory, identity: [{pattern: "{name}", host: "{name}.shop", namespace: shop}]}
identity:
  templates:
    - {pattern: "{name}.service.consul", host: "{name}.shop", namespace: shop, sources: [dc1]}
    - {pattern: "{name}", host: "{name}.general"}
  aliases:
    shop/reviews.shop: [dc1/ratings-and-reviews.service.consul, eureka/REVIEWS-V2]
    pay.shop: [dc1/east/pay.service.consul]
"""


def asked(source, name):
    """What the settings call a service of a source, and by which rule."""
    identity = Settings.parse(TEXT, environ={}).identities()
    found = identity.identify(ServiceKey.parse(name), source)
    return found and (str(found.key), found.origin)


@pytest.mark.parametrize(
    ("source", "name", "expected"),
    [
        (
            "dc1",
            "reviews.service.consul",
            (
                "shop/reviews.shop",
                "identity.templates[0]: {name}.service.consul is shop/{name}.shop",
            ),
        ),
        (
            "eureka",
            "cart",
            ("shop/cart.shop", "sources.eureka.identity[0]: {name} is shop/{name}.shop"),
        ),
        ("dc1", "cart", ("cart.general", "identity.templates[1]: {name} is {name}.general")),
        ("eureka", "a.service.consul", None),
        (
            "eureka",
            "reviews-v2",
            ("shop/reviews.shop", "identity.aliases: eureka/REVIEWS-V2 is shop/reviews.shop"),
        ),
        (
            "dc1",
            "east/pay.service.consul",
            ("pay.shop", "identity.aliases: dc1/east/pay.service.consul is pay.shop"),
        ),
        (
            "dc1",
            "west/pay.service.consul",
            ("shop/pay.shop", "identity.templates[0]: {name}.service.consul is shop/{name}.shop"),
        ),
    ],
)
def test_aliases_then_the_sources_own_templates_then_the_general_ones(source, name, expected):
    """The first rule that fits counts, and says where it is written."""
    assert asked(source, name) == expected


def test_names_are_kept_unless_told_otherwise():
    """So that callers need no change."""
    assert Settings.parse(TEXT, environ={}).identities().keeps_names
    told = Settings.parse("identity: {keep_names: false}", environ={})
    assert not told.identities().keeps_names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'templates: [{pattern: "{a b}", host: x}]',
            "identity.templates[0].pattern: {a b} is not a",
        ),
        (
            'templates: [{pattern: "{a}", host: "{b}"}]',
            "identity.templates[0]: {b} is not in the pattern",
        ),
        ('templates: [{pattern: "{a}"}]', "identity.templates[0].host: the key is missing"),
        ("aliases: {a b: [dc1/x]}", "identity.aliases: 'a b' is not a host name"),
        ("aliases: {a.b: [x]}", "'x' names no source: write SOURCE/HOST"),
        ("aliases: {a.b: [dc1/x], c.d: [dc1/X]}", "dc1/x is given to a.b and to c.d: keep one"),
    ],
)
def test_faults_have_a_place_and_a_remedy(text, message):
    """As everywhere."""
    with pytest.raises(ConfigError) as caught:
        Settings.parse(f"identity: {{{text}}}", environ={})
    assert message in str(caught.value)


def test_a_template_of_a_source_names_no_sources():
    """It is the source's own."""
    text = 'sources: [{id: a, kind: memory, identity: [{pattern: "{a}", host: x, sources: [a]}]}]'
    with pytest.raises(ConfigError, match=r"sources\[0\].identity\[0\].sources"):
        Settings.parse(text, environ={})


def test_the_sources_that_are_named_are_known_with_their_places():
    """Templates and aliases name them."""
    mentions = Settings.parse(TEXT, environ={}).mentions
    assert [(one.source, one.place.path) for one in mentions] == [
        ("dc1", "identity.templates[0].sources[0]"),
        ("dc1", 'identity.aliases["shop/reviews.shop"][0]'),
        ("eureka", 'identity.aliases["shop/reviews.shop"][1]'),
        ("dc1", 'identity.aliases["pay.shop"][0]'),
    ]
