"""ProxyConfig documents are checked, and say that nothing of them can be served."""

from __future__ import annotations


def test_each_field_says_where_its_place_is(spec):
    """And nothing becomes a rule."""
    reading = spec(
        "ProxyConfig",
        "{concurrency: 2, environmentVariables: {A: b}, image: {imageType: distroless}}",
    )
    assert (reading.rules, reading.errors) == ((), ())
    assert [one.field for one in reading.warnings] == [
        "spec.concurrency",
        "spec.environmentVariables",
        "spec.image",
    ]


def test_what_is_wrong_has_a_place(spec):
    """As in any other document."""
    (error,) = spec("ProxyConfig", "{concurency: 2}").errors
    assert "did you mean concurrency" in error.message
