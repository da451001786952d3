"""What rule sources say, and what is in force of it."""

from __future__ import annotations

from meshregistry.documents import Document, parse, rule_document
from meshregistry.pilot._rule_book import RuleBook
from meshregistry.rules import DestinationPolicy


def documents(*names, host="", extra=""):
    """One destination rule for each name, of a host of its own."""
    text = "\n---\n".join(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n"
        f"metadata: {{name: {name}}}\nspec: {{host: {host or name + '.example'}{extra}}}"
        for name in names
    )
    return [
        rule_document(one.root) for one in parse(text, file="r.yaml") if isinstance(one, Document)
    ]


def names(book):
    """The names of the policies in force."""
    return [policy.name for policy in book.rules.policies]


def test_nothing_is_synced_before_its_first_listing():
    """An empty listing is one, too."""
    book = RuleBook(["one", "two"], "mesh.local")
    assert book.unsynced == ("one", "two")
    assert not book.replace("two", [])
    assert book.unsynced == ("one",)
    assert [one.is_synced for one in book.statuses()] == [False, True]


def test_equal_documents_change_nothing():
    """The rule set stays the same object, so that nothing is derived anew."""
    book = RuleBook(["one"], "mesh.local")
    assert book.replace("one", documents("a", "b"))
    rules = book.rules
    assert not book.replace("one", documents("a", "b"))
    assert book.rules is rules
    assert names(book) == ["a", "b"]


def test_what_is_missing_from_a_whole_listing_is_gone():
    """And kept if something hides it."""
    book = RuleBook(["one"], "mesh.local")
    book.replace("one", documents("a", "b"))
    assert not book.replace("one", documents("a"), is_whole=False)
    assert names(book) == ["a", "b"]
    assert book.replace("one", documents("a"))
    assert names(book) == ["a"]


def test_a_broken_document_keeps_its_last_good_version():
    """The others change; a broken one that was never good is not there."""
    book = RuleBook(["one"], "mesh.local")
    book.replace("one", documents("a"))
    broken = documents("a", "new", extra=", colour: red")
    assert not book.replace("one", broken)
    assert names(book) == ["a"]
    (status,) = book.statuses()
    assert (status.documents, len(status.errors)) == (2, 2)
    assert "colour" in status.errors[0].message
    assert book.replace("one", [*broken[:1], *documents("b")])
    assert names(book) == ["a", "b"]


def test_a_good_version_ends_the_complaint():
    """Errors are of the newest version only."""
    book = RuleBook(["one"], "mesh.local")
    book.replace("one", documents("a", extra=", colour: red"))
    book.replace("one", documents("a"))
    assert book.statuses()[0].errors == ()


def test_the_first_source_wins_a_document():
    """Of two with one key; when it lets go, the other's is in force."""
    book = RuleBook(["one", "two"], "mesh.local")
    book.replace("two", documents("a", host="two.example"))
    book.replace("one", documents("a", host="one.example"))
    assert [policy.host for policy in book.rules.policies] == ["one.example"]
    book.replace("one", [])
    assert [policy.host for policy in book.rules.policies] == ["two.example"]
    assert isinstance(book.rules.policies[0], DestinationPolicy)


def test_faults_without_a_name_are_told():
    """They belong to the source."""
    book = RuleBook(["one"], "mesh.local")
    (document,) = documents("a")
    fault = document.root.fault("is broken", "mend it")
    book.replace("one", [], (fault,), is_whole=False)
    assert book.statuses()[0].errors == (fault,)


def test_decisions_are_no_rules():
    """A new one changes no route, and an equal one is the same object."""
    text = (
        "apiVersion: meshregistry.dev/v1\nkind: Drain\nmetadata: {name: d}\n"
        "spec: {host: a.b, address: 10.0.0.1, port: 80, phase: %s}"
    )

    def told(phase):
        (one,) = parse(text % phase, file="d.yaml")
        return [rule_document(one.root)]

    book = RuleBook(["one"], "mesh.local")
    assert not book.decisions
    assert not book.replace("one", told("DRAINING"))
    first = book.decisions
    (drain,) = first.drains
    assert drain.name == "d"
    book.replace("one", told("DRAINING"))
    assert book.decisions is first
    book.replace("one", told("GONE"))
    assert book.decisions is first, "a broken version keeps the last good one"
    book.replace("one", [])
    assert not book.decisions
