"""Templates made from classes."""

from __future__ import annotations

import pytest
from attrs import frozen

from meshregistry.mixer.spi import (
    AUTHORIZATION,
    METRIC,
    TEMPLATES,
    Form,
    Instance,
    Metric,
    MixerAdapter,
    Template,
    TraceSpan,
    ValueType,
    Variety,
    any_value,
    typed,
)


class TestTemplate:
    """What a class of instances declares."""

    def test_fields_have_number_form_and_type(self):
        """In the order of their numbers; the name of the instance is none of them."""
        shown = [(one.number, one.name, one.form, one.value_type) for one in METRIC.fields]
        assert shown == [
            (1, "value", Form.ANY, None),
            (2, "dimensions", Form.ANY_BY_NAME, None),
            (3, "monitored_resource_type", Form.TYPED, ValueType.STRING),
            (4, "monitored_resource_dimensions", Form.ANY_BY_NAME, None),
        ]

    def test_nested_fields(self):
        """A field with fields of its own knows them and their class."""
        subject, action = AUTHORIZATION.fields
        assert [one.name for one in subject.nested] == ["user", "groups", "properties"]
        assert action.instance_class is not None
        assert action.instance_class().path == ""

    def test_camel_case(self):
        """Documents may write names as JSON of protobuf does."""
        names = {one.name: one.camel_name for one in TEMPLATES[-1].fields}
        assert names["rewrite_client_span_id"] == "rewriteClientSpanId"

    def test_what_is_not_given_is_zero(self):
        """So adapters need not ask whether a field is there."""
        span = TraceSpan(name="s.instance.ns")
        assert (span.trace_id, span.http_status_code, span.client_span) == ("", 0, False)
        assert span.start_time is None
        assert Metric().dimensions == {}

    def test_of_a_third_party(self):
        """Its own class is a template like ours."""

        @frozen(kw_only=True)
        class Weather(Instance):
            degrees: object = any_value(2)
            place: str = typed(1)

        template = Template(name="weather", variety=Variety.CHECK, instance_class=Weather)
        assert [one.name for one in template.fields] == ["place", "degrees"]

    def test_names_are_words(self):
        """As documents can write them."""
        with pytest.raises(ValueError, match="name"):
            Template(name="My Template", variety=Variety.CHECK, instance_class=Metric)

    def test_numbers_of_a_template_are_distinct(self):
        """Each field has its own place on the wire."""
        for template in TEMPLATES:
            numbers = [one.number for one in template.fields]
            assert len(set(numbers)) == len(numbers), template.name


def test_an_adapter_knows_what_it_takes():
    """By the class of the instance."""
    adapter = MixerAdapter(name="x", config_class=Metric, templates=(METRIC,), open=Metric)
    assert adapter.takes(Metric)
    assert not adapter.takes(TraceSpan)
