"""What places of a rule source hold, and what they say together."""

from __future__ import annotations

from meshregistry.documents import RuleUnit, RuleUnits

ONE = "apiVersion: g/v1\nkind: K\nmetadata: {name: one, namespace: n}\n"
TWO = ONE.replace("one", "two")


def keys(listing):
    """The documents as text."""
    return [str(document.key) for document in listing.documents]


def test_documents_are_named_and_not_understood():
    """By group, kind, namespace and name; the version is kept apart."""
    units = RuleUnits()
    units.put(RuleUnit.of_text("a.yaml", f"{ONE}---\n{TWO}"))
    listing = units.listing()
    assert keys(listing) == ["K n/one", "K n/two"]
    assert (listing.documents[0].key.group, listing.documents[0].version) == ("g", "v1")
    assert (listing.faults, listing.is_whole) == ((), True)


def test_a_broken_document_hides_what_its_file_said():
    """Nobody can tell which one it was; another file's are not touched."""
    units = RuleUnits()
    units.put(RuleUnit.of_text("a.yaml", f"{ONE}---\n{TWO}"))
    units.put(RuleUnit.of_text("a.yaml", f"{ONE}---\ncolour: ["))
    listing = units.listing()
    assert keys(listing) == ["K n/one", "K n/two"]
    assert listing.is_whole
    assert listing.faults[0].file == "a.yaml"
    units.put(RuleUnit.of_text("a.yaml", ONE))
    assert keys(units.listing()) == ["K n/one"]


def test_documents_without_a_name_are_faults_with_a_remedy():
    """Each of what is needed, and a text that is no mapping."""
    units = RuleUnits()
    for text, reason in (
        ("[]", "must be a mapping"),
        ("kind: K", "apiVersion is missing"),
        ("apiVersion: v1", "kind is missing"),
        ("apiVersion: v1\nkind: K", "no metadata"),
        ("apiVersion: v1\nkind: K\nmetadata: {}", "name is missing"),
    ):
        units.put(RuleUnit.of_text("a.yaml", text))
        (fault,) = units.listing().faults
        assert reason in fault.message
        assert fault.remedy
    units.put(RuleUnit.of_text("a.yaml", b"\xff"))
    assert "UTF-8" in units.listing().faults[0].message


def test_documents_may_stand_in_a_list():
    """As `kubectl get -o yaml` prints them; one that is broken leaves the others."""
    pieces = "".join(f"- {one.strip().replace(chr(10), chr(10) + '  ')}\n" for one in (ONE, TWO))
    text = f"apiVersion: v1\nkind: List\nmetadata: {{resourceVersion: ''}}\nitems:\n{pieces}"
    unit = RuleUnit.of_text("a.yaml", text)
    assert (keys(unit), unit.faults) == (["K n/one", "K n/two"], ())
    assert [5, 8] == [document.root.line for document in unit.documents]
    (fault,) = RuleUnit.of_text("a.yaml", text.replace("name: one", "nam: one")).faults
    assert "name is missing" in fault.message
    assert fault.line == 7
    assert keys(RuleUnit.of_text("a.yaml", "apiVersion: v1\nkind: List\nitems: []\n")) == []


def test_a_key_is_one_documents():
    """The first counts; the second is told, in one file and in two."""
    units = RuleUnits()
    units.put(RuleUnit.of_text("a.yaml", f"{ONE}---\n{ONE}"))
    units.put(RuleUnit.of_text("b.yaml", ONE))
    listing = units.listing()
    assert [document.root.file for document in listing.documents] == ["a.yaml"]
    assert ["K n/one is written in a.yaml:1 already"] * 2 == [
        fault.reason for fault in listing.faults
    ]
    assert listing.is_whole


def test_a_file_that_cannot_be_read_keeps_what_it_said():
    """Until it is gone."""
    units = RuleUnits()
    units.put(RuleUnit.of_text("a.yaml", ONE))
    units.put(RuleUnit.unreadable("a.yaml", "permission denied", "check it"))
    assert keys(units.listing()) == ["K n/one"]
    assert "permission denied" in units.listing().faults[0].message
    units.remove("a.yaml")
    assert keys(units.listing()) == []


def test_a_listing_replaces_all_places():
    """Those that are missing are gone; those that are broken keep what they said."""
    units = RuleUnits()
    units.replace([RuleUnit.of_text("a", ONE), RuleUnit.of_text("b", TWO)])
    units.replace([RuleUnit.of_text("b", "[")])
    assert keys(units.listing()) == ["K n/two"]


def test_objects_are_taken_as_they_are():
    """With the time at which they were made; what is no object is a fault."""
    value = {
        "apiVersion": "g/v1",
        "kind": "K",
        "metadata": {"name": "one", "creationTimestamp": "1970-01-02T00:00:00Z"},
    }
    (document,) = RuleUnit.of_object("k/one", value).documents
    assert (str(document.key), document.created) == ("K one", 86400.0)
    assert RuleUnit.of_object("k/one", {"kind": "K"}).faults
    value["metadata"]["creationTimestamp"] = "yesterday"
    (fault,) = RuleUnit.of_object("k/one", value).faults
    assert fault.field == "metadata.creationTimestamp"


def test_a_broken_place_that_nothing_is_known_of_may_hide_anything():
    """A file that was renamed and broken at once; one that was known hides nothing."""
    units = RuleUnits()
    units.replace([RuleUnit.of_text("a", ONE)])
    units.replace([RuleUnit.of_text("b", "[")])
    assert not units.listing().is_whole
    units.replace([RuleUnit.of_text("b", TWO)])
    units.put(RuleUnit.of_text("b", "["))
    assert units.listing().is_whole
    assert keys(units.listing()) == ["K n/two"]
