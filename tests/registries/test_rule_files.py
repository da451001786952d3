"""Routing documents in files, read without following them."""

from __future__ import annotations

from meshregistry.registries import rule_documents

ONE = "apiVersion: g/v1\nkind: K\nmetadata: {name: one, namespace: n}\n"
TWO = ONE.replace("one", "two")


def keys(listing):
    """The documents as text."""
    return [str(document.key) for document in listing.documents]


def test_a_folder_is_read_whole(tmp_path):
    """And a path that is not there is a fault."""
    (tmp_path / "a.yaml").write_text(ONE)
    (tmp_path / "b.yml").write_text(TWO)
    (tmp_path / "c.txt").write_text("no document")
    assert keys(rule_documents(tmp_path)) == ["K n/one", "K n/two"]
    (fault,) = rule_documents(tmp_path / "none").faults
    assert "cannot be read" in fault.message
