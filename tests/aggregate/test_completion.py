"""From what a source says to what is merged."""

from __future__ import annotations

import pytest
from attrs import evolve

from meshregistry.aggregate._completion import Completion, TransformFault, identity_transform
from meshregistry.aggregate._source import Source
from meshregistry.model import (
    Identity,
    IdentityTemplate,
    NamePattern,
    RecordKey,
    RecordTransform,
    ServiceKey,
    ServiceRecord,
    SourceId,
    SourceInfo,
)

CART = ServiceRecord.parse("cart.service.consul", port=80, endpoints=["10.0.0.1:80"])
SOURCE = Source(
    id=SourceId("dc1"),
    kind="consul",
    open=lambda context: None,
    namespace="shop",
    network="east",
    cluster="one",
)


def renamed(suffix):
    """A transform that adds to the host."""

    def apply(record, source):
        service = record.service
        return evolve(record, service=evolve(service, host=f"{service.host}.{suffix}"))

    return RecordTransform(name=f"add/{suffix}", apply=apply)


def failing(answer):
    """A transform that gives something else than a record."""

    def apply(record, source):
        if isinstance(answer, Exception):
            raise answer
        return answer

    return RecordTransform(name="bad/one", apply=apply)


HIDING = RecordTransform(name="hide/all", apply=lambda record, source: None)


def test_transforms_see_what_the_settings_have_filled_in():
    """And what they may know of the source."""
    seen = []

    def apply(record, source):
        seen.append((record.service.namespace, record.endpoints[0].network, source))
        return record

    Completion(SOURCE, (RecordTransform(name="look/at", apply=apply),))(CART)
    info = SourceInfo(id="dc1", kind="consul", namespace="shop", network="east", cluster="one")
    assert seen == [("shop", "east", info)]


def test_transforms_come_one_after_the_other():
    """Each sees what the one before made."""
    made = Completion(SOURCE, (renamed("a"), renamed("b")))(CART)
    assert made.service.host == "cart.service.consul.a.b"


def test_a_hidden_record_meets_no_further_transform():
    """None ends it."""
    assert Completion(SOURCE, (HIDING, failing(ValueError("no"))))(CART) is None


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (ValueError("no"), "the transform bad/one failed: ValueError: no"),
        ("text", "the transform bad/one returned str; return a ServiceRecord or None"),
        (
            evolve(CART, key=RecordKey("other")),
            "the transform bad/one changed the record key to 'other'; change the host instead",
        ),
    ],
)
def test_what_a_transform_must_not_do_is_a_fault_of_its_record(answer, message):
    """Which names the transform."""
    with pytest.raises(TransformFault) as caught:
        Completion(SOURCE, (failing(answer),))(CART)
    assert str(caught.value) == message


CONSUL = IdentityTemplate(
    pattern=NamePattern("{name}.service.consul"), host="{name}.shop", origin="template 0"
)


def test_the_identity_keeps_the_former_name_as_an_alias():
    """Unless it is told not to."""
    identity = Identity(templates=(CONSUL,))
    made = Completion(SOURCE, (identity_transform(identity),))(CART)
    assert [str(name) for name in made.names] == ["shop/cart.shop", "shop/cart.service.consul"]
    assert made.key == "cart.service.consul"
    forgetful = identity_transform(evolve(identity, keeps_names=False))
    assert [str(name) for name in Completion(SOURCE, (forgetful,))(CART).names] == [
        "shop/cart.shop"
    ]


def test_what_no_rule_is_about_is_the_same_object():
    """Nothing is copied that need not be."""
    record = Completion(SOURCE)(ServiceRecord.parse("cart.shop", port=80, namespace="shop"))
    assert (
        Completion(SOURCE, (identity_transform(Identity(templates=(CONSUL,))),))(record) is record
    )


class TestTrace:
    """Why a record is called what it is called."""

    def test_names_who_has_decided(self):
        """A transform by its name, a rule by its place; who changes no name is not named."""
        same = RecordTransform(name="no/change", apply=lambda record, source: record)
        identity = identity_transform(Identity(templates=(CONSUL,)))
        complete = Completion(SOURCE, (same, identity, renamed("b")))
        assert complete.trace(CART) == (ServiceKey.parse("shop/cart.shop.b"), "template 0, add/b")

    def test_says_why_a_record_is_of_no_service(self):
        """Hidden, or at fault."""
        assert Completion(SOURCE, (HIDING,)).trace(CART) == (None, "hidden by hide/all")
        assert Completion(SOURCE, (failing(ValueError("no")),)).trace(CART) == (
            None,
            "the transform bad/one failed: ValueError: no",
        )

    def test_a_reason_that_fails_is_told_in_its_place(self):
        """It must not keep the others from being shown."""

        def reason(record, source):
            raise KeyError("x")

        transform = RecordTransform(name="odd/one", apply=lambda record, _: record, reason=reason)
        assert Completion(SOURCE, (transform,)).trace(CART)[1] == (
            "odd/one, whose reason failed: KeyError: 'x'"
        )
