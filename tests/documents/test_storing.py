"""Documents that are put away and taken out again."""

from __future__ import annotations

import json

import pytest

from meshregistry.documents import RuleUnit, restored, stored

TEXT = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, labels: {"x.y/z": 'v'}, creationTimestamp: 2026-01-31T12:00:00Z}
spec:
  host: a.example
  list: [1, "2", {a: b}, ~, [], {}]
  deep: {"a b": [[1.10]], c: }
"""


@pytest.mark.parametrize(
    "unit",
    [
        RuleUnit.of_text("f.yaml", TEXT),
        RuleUnit.of_object(
            "an/object",
            {
                "apiVersion": "a.example/v1",
                "kind": "K",
                "metadata": {"name": "n"},
                "spec": {"x": [1, True, None, "t", {"y": 1.5}]},
            },
        ),
    ],
)
def test_a_document_comes_back_as_it_was(unit):
    """With every quote and position, so that it reads and complains as before."""
    (document,) = unit.documents
    found = restored(json.loads(json.dumps(stored(document))))
    assert (found.root, found.key, found.version, found.created) == (
        *(document.root, document.key, document.version, document.created),
    )


@pytest.mark.parametrize(
    "value",
    [
        *({}, None, 5, {"file": "f", "root": [1, 1, "text", True]}),
        {"file": "f", "root": [1, 1, {"entries": [[1, 1, 5, True, [1, 1, "a", True]]]}]},
        {"file": "f", "root": [1, 1, {"entries": [[1, 1, "a", True, [1, 1, 7, True]]]}]},
        {"file": "f", "root": [1, 1, {"entries": [[1, 1, "a", True, [1, 1, "a"]]]}]},
        {"file": "f", "root": [1, 1, {}]},
    ],
)
def test_what_is_no_document_is_refused(value):
    """A damaged file never becomes half a document."""
    with pytest.raises(ValueError, match="is not a stored document"):
        restored(value)
