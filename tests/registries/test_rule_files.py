"""Routing documents in files, read without following them."""

from __future__ import annotations

from meshregistry.registries import rule_documents
from meshregistry.registries._rule_files import RuleContents

ONE = "apiVersion: g/v1\nkind: K\nmetadata: {name: one, namespace: n}\n"
TWO = ONE.replace("one", "two")


def keys(listing):
    """The documents as text."""
    return [str(document.key) for document in listing.documents]


def test_documents_are_named_and_not_understood():
    """By group, kind, namespace and name; the version is kept apart."""
    contents = RuleContents()
    contents.put("a.yaml", f"{ONE}---\n{TWO}".encode())
    listing = contents.listing()
    assert keys(listing) == ["K n/one", "K n/two"]
    assert (listing.documents[0].key.group, listing.documents[0].version) == ("g", "v1")
    assert (listing.faults, listing.is_whole) == ((), True)


def test_a_broken_document_hides_what_its_file_said():
    """Nobody can tell which one it was; another file's are not touched."""
    contents = RuleContents()
    contents.put("a.yaml", f"{ONE}---\n{TWO}".encode())
    contents.put("a.yaml", f"{ONE}---\ncolour: [".encode())
    listing = contents.listing()
    assert keys(listing) == ["K n/one", "K n/two"]
    assert not listing.is_whole
    assert listing.faults[0].file == "a.yaml"
    contents.put("a.yaml", ONE.encode())
    assert keys(contents.listing()) == ["K n/one"]


def test_documents_without_a_name_are_faults_with_a_remedy():
    """Each of what is needed, and a text that is no mapping."""
    contents = RuleContents()
    for text, reason in (
        ("[]", "must be a mapping"),
        ("kind: K", "apiVersion is missing"),
        ("apiVersion: v1", "kind is missing"),
        ("apiVersion: v1\nkind: K", "no metadata"),
        ("apiVersion: v1\nkind: K\nmetadata: {}", "name is missing"),
    ):
        contents.put("a.yaml", text.encode())
        (fault,) = contents.listing().faults
        assert reason in fault.message
        assert fault.remedy
    contents.put("a.yaml", b"\xff")
    assert "UTF-8" in contents.listing().faults[0].message


def test_a_key_is_one_documents():
    """The first counts; the second is told, in one file and in two."""
    contents = RuleContents()
    contents.put("a.yaml", f"{ONE}---\n{ONE}".encode())
    contents.put("b.yaml", ONE.encode())
    listing = contents.listing()
    assert [document.root.file for document in listing.documents] == ["a.yaml"]
    assert ["K n/one is written in a.yaml:1 already"] * 2 == [
        fault.reason for fault in listing.faults
    ]
    assert listing.is_whole


def test_a_file_that_cannot_be_read_keeps_what_it_said():
    """Until it is gone."""
    contents = RuleContents()
    contents.put("a.yaml", ONE.encode())
    contents.unreadable("a.yaml", "permission denied")
    assert keys(contents.listing()) == ["K n/one"]
    assert "permission denied" in contents.listing().faults[0].message
    contents.drop("a.yaml")
    assert keys(contents.listing()) == []


def test_a_folder_is_read_whole(tmp_path):
    """And a path that is not there is a fault."""
    (tmp_path / "a.yaml").write_text(ONE)
    (tmp_path / "b.yml").write_text(TWO)
    (tmp_path / "c.txt").write_text("no document")
    assert keys(rule_documents(tmp_path)) == ["K n/one", "K n/two"]
    (fault,) = rule_documents(tmp_path / "none").faults
    assert "cannot be read" in fault.message
