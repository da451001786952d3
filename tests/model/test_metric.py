"""Figures as plain values."""

from __future__ import annotations

from meshregistry.model import Labels, Metric


def test_a_metric_of_a_number_has_one_unlabelled_sample():
    """A plain number becomes one sample without labels."""
    metric = Metric.of("meshregistry_things", "gauge", "things", 3)
    assert ((Labels(), 3.0),) == metric.samples


def test_the_samples_of_a_metric_are_in_canonical_order():
    """Labelled samples are sorted by their labels."""
    a, b = Labels({"source": "a"}), Labels({"source": "b"})
    metric = Metric.of("meshregistry_things", "counter", "things", {b: 2.0, a: 1.0})
    assert ((a, 1.0), (b, 2.0)) == metric.samples
