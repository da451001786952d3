"""Rules under a prefix of etcd: what keys say."""

from __future__ import annotations

import pytest

from meshregistry.spi import OutgoingDocument
from meshregistry.testing import context
from meshregistry_etcd import EtcdRulesConfig
from meshregistry_etcd._messages import rpc
from meshregistry_etcd._mirror import Entry
from meshregistry_etcd._rules import _Documents
from meshregistry_etcd._writer import EtcdRuleWriter

ONE = b"apiVersion: g/v1\nkind: K\nmetadata: {name: one}\n"


class Sink:
    """Remembers what it is told."""

    def __init__(self):
        self.told = []

    def replace(self, units):
        self.told.append([unit.name for unit in units])

    def put(self, unit):
        self.told.append((unit.name, len(unit.documents), len(unit.faults)))

    def remove(self, name):
        self.told.append(("gone", name))

    def confirm(self):
        self.told.append("confirmed")


def test_pages_are_one_listing_and_changes_come_one_by_one():
    """A listing that began again is void; a broken key is a fault of its own."""
    sink = Sink()
    documents = _Documents("/r/", sink)
    documents.begun()
    documents.page([Entry("void", ONE)])
    documents.begun()
    documents.page([Entry("a", ONE)])
    documents.page([Entry("b", ONE)])
    assert sink.told == []
    documents.listed()
    documents.changed([Entry("c", b"["), Entry("a", None)])
    documents.confirmed()
    assert sink.told == [
        ["etcd:/r/a", "etcd:/r/b"],
        ("etcd:/r/c", 0, 1),
        ("gone", "etcd:/r/a"),
        "confirmed",
    ]


def test_a_prefix_is_a_folder():
    """With or without a slash at its end."""
    assert EtcdRulesConfig(prefix="/r").folder == EtcdRulesConfig(prefix="/r/").folder == "/r/"
    with pytest.raises(ValueError, match="no folder"):
        EtcdRulesConfig(prefix="/")


class Client:
    """Remembers what it is asked."""

    def __init__(self, deleted=0):
        self.asked = []
        self._deleted = deleted

    async def ask(self, method, request):
        self.asked.append((method, request.key, getattr(request, "value", None)))
        return rpc.DeleteRangeResponse(deleted=self._deleted)


def test_a_document_is_written_to_a_key_of_its_own(run_async):
    """And taken away again; what is not there is told."""
    one = OutgoingDocument(group="g", version="v1", kind="Drain", name="a", spec={"b": 1})
    client = Client()
    writer = EtcdRuleWriter(EtcdRulesConfig(prefix="/r"), context(client=client))

    async def main():
        assert await writer.put(one) == "etcd:/r/drain-a.yaml"
        assert not await writer.delete(one)

    run_async(main())
    key = b"/r/drain-a.yaml"
    assert client.asked == [
        ("KV.Put", key, one.text.encode()),
        ("KV.DeleteRange", key, None),
    ]
