"""What plugins change in records."""

from __future__ import annotations

import pytest

from meshregistry.model import RecordTransform, ServiceKey, ServiceRecord


def test_a_transform_needs_a_name():
    """Else messages could not say which one it was."""
    with pytest.raises(ValueError, match="it needs a name"):
        RecordTransform(name="", apply=lambda record, source: record)


def test_a_record_knows_the_names_of_its_service():
    """Its key first, each once, the others sorted; none of the same host."""
    texts = ("b.shop", "a.shop", "web.shop", "other/web.shop", "b.shop")
    names = [ServiceKey.parse(one) for one in texts]
    record = ServiceRecord(ServiceRecord.parse("web.shop", port=80).service, aliases=names)
    assert [str(one) for one in record.names] == ["web.shop", "a.shop", "b.shop"]
