"""Which names mean one service: patterns, templates, aliases."""

from __future__ import annotations

import pytest

from meshregistry.model import (
    Identity,
    IdentityAlias,
    IdentityTemplate,
    NamePattern,
    ServiceKey,
    SourceId,
)

DC1, EUREKA = SourceId("dc1"), SourceId("eureka")


def template(pattern, host, namespace=None, *sources):
    """A template that is called after its pattern."""
    return IdentityTemplate(
        pattern=NamePattern(pattern),
        host=host,
        namespace=namespace,
        sources=sources,
        origin=pattern,
    )


def key(text):
    """A service key."""
    return ServiceKey.parse(text)


@pytest.mark.parametrize(
    ("pattern", "host", "expected"),
    [
        ("{name}.service.consul", "reviews.service.consul", {"name": "reviews"}),
        ("{Name}.Service.CONSUL", "reviews.service.consul", {"name": "reviews"}),
        ("{name}.service.{dc}.consul", "a.service.dc1.consul", {"name": "a", "dc": "dc1"}),
        ("{name}-{version}.shop", "re-views-v1.shop", {"name": "re-views", "version": "v1"}),
        ("{name}.{name}", "a.a", {"name": "a"}),
        ("reviews", "reviews", {}),
        ("{name}.{name}", "a.b", None),
        ("{name}", "reviews.shop", None),
        ("{name}.service.consul", "reviews.serviceXconsul", None),
        ("{name}.service.consul", "*.service.consul", None),
    ],
)
def test_a_placeholder_stands_for_one_label_or_a_piece_of_it(pattern, host, expected):
    """Without regard to case; never for several labels, nor for a wildcard."""
    assert NamePattern(pattern).match(host) == expected


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{1st}.shop", r"\{1st\} is not a placeholder"),
        ("{}.shop", "is not a placeholder"),
        ("{name.shop", "a brace that stands alone"),
        ("{name}.sh op", "' op'|'.sh op' cannot be in one"),
    ],
)
def test_a_malformed_pattern_is_refused(pattern, message):
    """With what is wrong in it."""
    with pytest.raises(ValueError, match=message):
        NamePattern(pattern)


def test_a_template_fills_in_host_and_namespace():
    """With the placeholders of the pattern, the record's namespace and the source."""
    made = template("{name}.service.{dc}.consul", "{name}.{namespace}.{source}", "{dc}")
    assert made.key(key("shop/a.service.east.consul"), DC1) == key("east/a.shop.dc1")


def test_a_template_without_a_namespace_leaves_it():
    """As the record has it."""
    assert template("{name}", "{name}.shop").key(key("x/a"), DC1) == key("x/a.shop")


def test_a_template_is_about_its_sources():
    """Without any, about all."""
    made = template("{name}", "{name}.shop", None, EUREKA)
    assert made.key(key("a"), EUREKA) == key("a.shop")
    assert made.key(key("a"), DC1) is None


def test_a_placeholder_that_the_pattern_does_not_have_is_refused():
    """With those that there are."""
    with pytest.raises(
        ValueError, match=r"\{nam\} is not in the pattern .* name, namespace, source"
    ):
        template("{name}", "{nam}.shop")


def test_a_name_that_comes_out_wrong_is_an_error():
    """A record without a namespace cannot fill one in; a name may be too long."""
    with pytest.raises(ValueError, match="the record has no namespace to fill in"):
        template("{name}", "{name}.{namespace}").key(key("a"), DC1)
    with pytest.raises(ValueError, match="is not a host name"):
        template("{name}", "{name}{name}").key(key("a" * 40), DC1)


def test_aliases_come_before_templates_and_the_first_template_counts():
    """An alias with a namespace before one without; a source that has none is left alone."""

    def alias(name, service):
        return IdentityAlias(source=DC1, name=key(name), key=key(service), origin=f"alias {name}")

    identity = Identity(
        aliases=(alias("a", "any.shop"), alias("x/a", "x.shop")),
        templates=(template("{name}", "{name}.first"), template("{name}", "{name}.second")),
    )
    assert identity.identify(key("x/A"), DC1) == (key("x.shop"), "alias x/a")
    assert identity.identify(key("y/a"), DC1) == (key("any.shop"), "alias a")
    assert identity.identify(key("y/a"), EUREKA) == (key("y/a.first"), "{name}")
    assert identity.identify(key("a.b"), DC1) is None


def test_where_a_rule_is_written_makes_no_other_identity():
    """So that a settings file that was only moved around changes nothing."""
    one, other = (
        Identity(aliases=(IdentityAlias(source=DC1, name=key("a"), key=key("b"), origin=origin),))
        for origin in ("here", "there")
    )
    assert one == other
