"""The files of a source together: last good versions, duplicates, faults."""

from __future__ import annotations

import pytest

from meshregistry.registries._file_documents import FileDocuments

GOOD = """
services:
  - {host: a.shop, ports: [{port: 80}], endpoints: [10.0.0.1:80]}
  - {host: b.shop, ports: [{port: 80}], endpoints: [10.0.0.2:80]}
---
services:
  - {host: c.shop, ports: [{port: 80}], endpoints: [10.0.0.3:80]}
"""


@pytest.fixture
def documents():
    """No files yet."""
    return FileDocuments(trust_domain="mesh.local")


def held(documents):
    """Endpoints by record key."""
    return {r.key: [str(e) for e in r.endpoints] for r in documents.listing().records}


def keys(documents):
    """What the faults are reported under."""
    return [fault.key for fault in documents.listing().faulty]


def put(documents, text, file="a.yaml"):
    """Take a new version of a file."""
    documents.put(file, text.encode())


def test_good_files_unite(documents):
    """Records of all files and documents, sorted by key, and no fault."""
    put(documents, GOOD)
    put(documents, "services: [{host: d, ports: [{port: 1}]}]", "z.json")
    assert ["a.shop", "b.shop", "c.shop", "d"] == list(held(documents))
    assert documents.listing().faulty == ()


def test_a_broken_service_keeps_its_last_good_version(documents):
    """Its neighbours in the same document move on, and the fault is named by its key."""
    put(documents, GOOD)
    put(documents, GOOD.replace("10.0.0.1:80", "10.0.0.1").replace("10.0.0.2", "10.0.0.9"))
    assert held(documents) == {
        "a.shop": ["10.0.0.1:80"],
        "b.shop": ["10.0.0.9:80"],
        "c.shop": ["10.0.0.3:80"],
    }
    (fault,) = documents.listing().faulty
    assert fault.key == "a.shop"
    assert str(fault) == (
        "a.yaml:3:53: services[0].endpoints[0]: '10.0.0.1' is not an endpoint; write address:port"
    )


def test_a_document_that_is_not_yaml_keeps_what_it_may_have_said(documents):
    """Whatever of the file is missing in the good documents stays, the rest moves on."""
    put(documents, GOOD)
    put(documents, GOOD.replace("10.0.0.3", "10.0.0.8").replace("[10.0.0.2:80]", "[10.0.0.2:80"))
    assert held(documents) == {
        "a.shop": ["10.0.0.1:80"],
        "b.shop": ["10.0.0.2:80"],
        "c.shop": ["10.0.0.8:80"],
    }
    assert keys(documents) == ["a.yaml:4"]


def test_a_half_written_file_takes_nothing_away(documents):
    """Cut anywhere in the middle of a line, the file still says all that it said."""
    put(documents, GOOD)
    put(documents, GOOD[: GOOD.index("host: c")])
    assert list(held(documents)) == ["a.shop", "b.shop", "c.shop"]
    put(documents, GOOD)
    assert documents.listing().faulty == ()


def test_a_service_that_is_taken_out_of_a_good_file_is_gone(documents):
    """Also after the file was broken for a while."""
    put(documents, GOOD)
    put(documents, "services: [")
    put(documents, "services: [{host: b.shop, ports: [{port: 80}]}]")
    assert held(documents) == {"b.shop": []}


def test_a_broken_file_does_not_hold_back_removals_of_another(documents):
    """Each file keeps its own; only what cannot be told is reported without a key."""
    put(documents, GOOD)
    put(documents, "services: [{host: z, ports: [{port: 80}]}]", "z.yaml")
    put(documents, "services: [", "z.yaml")
    put(documents, "services: []")
    assert held(documents) == {"z": []}
    assert keys(documents) == ["z.yaml:2"]


def test_a_file_that_was_never_whole_removes_nothing(documents):
    """An earlier attempt may have known what it said, so the fault has no key."""
    put(documents, "services: [")
    assert keys(documents) == [None]
    put(documents, "services: [{host: z, ports: [{port: 80}]}]")
    put(documents, "services: [")
    assert keys(documents) == ["a.yaml:2"]


def test_a_broken_service_has_its_key_from_the_start(documents):
    """The core keeps what it has under that key, also from an earlier attempt."""
    put(documents, "services: [{host: Z.Shop, namespace: x, ports: [{port: 0}]}]")
    assert keys(documents) == ["x/z.shop"]


def test_a_file_that_is_gone_takes_its_services_along(documents):
    """After the scanner has confirmed it."""
    put(documents, GOOD)
    documents.drop("a.yaml")
    assert held(documents) == {}


def test_an_unreadable_file_keeps_all(documents):
    """A failed read says nothing about services."""
    put(documents, GOOD)
    documents.unreadable("a.yaml", "Permission denied")
    assert list(held(documents)) == ["a.shop", "b.shop", "c.shop"]
    assert [str(fault) for fault in documents.listing().faulty] == [
        "a.yaml: the file cannot be read: Permission denied; check its permissions"
    ]


def test_a_service_described_twice_counts_once(documents):
    """The first file in order wins; the other is reported and steps in when it may."""
    put(documents, "services: [{host: x, ports: [{port: 80}], endpoints: [10.0.0.1:80]}]", "b.yaml")
    put(documents, "services: [{host: x, ports: [{port: 80}], endpoints: [10.0.0.2:80]}]", "c.yaml")
    assert held(documents) == {"x": ["10.0.0.1:80"]}
    assert [str(fault) for fault in documents.listing().faulty] == [
        "c.yaml:1:12: services[0]: x is described in b.yaml:1 already; keep one of them"
    ]
    assert keys(documents) == ["c.yaml:1"], "not x: that would hold back the first one's changes"
    documents.drop("b.yaml")
    assert held(documents) == {"x": ["10.0.0.2:80"]}


def test_a_service_twice_in_one_file(documents):
    """The first counts."""
    one = "{host: x, ports: [{port: 80}]}"
    put(documents, f"services:\n  - {one}\n  - {one}\n")
    assert list(held(documents)) == ["x"]
    assert "a.yaml:3:5: services[1]: x is described in a.yaml:2 already" in str(
        documents.listing().faulty[0]
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n", "a.yaml:1:1: must be a mapping, not a list; write services: or kind:"),
        ("a: 1\n", "a.yaml:1:1: neither services: nor kind: is here; write one of them"),
        ("services:\n", "a.yaml:1:10: services: must be a list, not nothing; write - before"),
        ("services: []\nservice: []\n", "a.yaml:2:1: service: unknown key; did you mean services?"),
        (
            "kind: Gateway\n",
            "a.yaml:1:7: kind: Gateway is not read here; put ServiceEntry, WorkloadEntry and",
        ),
        ("kind: [a]\n", "a.yaml:1:7: kind: a list is not read here"),
    ],
)
def test_documents_of_other_kinds_are_faults(documents, text, message):
    """Nothing in a file is passed over in silence."""
    put(documents, text)
    assert documents.listing().faults[0].message.startswith(message)


def test_a_document_that_is_not_for_us_holds_nothing_back(documents):
    """It never was a service, so removals need not wait for it."""
    put(documents, "kind: Gateway\n")
    assert keys(documents) == ["a.yaml:1"]


def test_a_file_that_is_not_utf_8_is_a_fault(documents):
    """Named with its line."""
    documents.put("a.yaml", b"services: []\n# \xe9\n")
    assert "a.yaml:2: the byte 0xe9 is not UTF-8" in str(documents.listing().faulty[0])
