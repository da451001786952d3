"""The messages: generated from our files, as the tables say, in a pool of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from generate_proto import FOLDER, generated
from meshregistry.mixer.proto import mixer_v1_pb2, rpc_status_pb2


@pytest.fixture(scope="module")
def fresh():
    """What protoc makes of the .proto files now."""
    return generated()


def test_the_modules_are_those_of_the_proto_files(fresh):
    """`make proto` would change nothing."""
    kept = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*_pb2.py*")}
    assert fresh == kept


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        ("CheckRequest", "attributes=1 global_word_count=2 deduplication_id=3 quotas=4"),
        ("CheckResponse", "precondition=2 quotas=3"),
        ("ReferencedAttributes", "words=1 attribute_matches=2"),
        ("HeaderOperation", "name=1 value=2 operation=3"),
        (
            "ReportRequest",
            "attributes=1 default_words=2 global_word_count=3 repeated_attributes_semantics=4",
        ),
        (
            "CompressedAttributes",
            (
                "words=1 strings=2 int64s=3 doubles=4 bools=5 timestamps=6 durations=7 bytes=8 "
                "string_maps=9"
            ),
        ),
    ],
)
def test_fields_have_the_numbers_of_the_protocol(message, fields):
    """The tables of the protocol, once more, for the messages that matter most."""
    descriptor = getattr(mixer_v1_pb2, message).DESCRIPTOR
    assert "istio.mixer.v1." + message == descriptor.full_name
    assert fields == " ".join(f"{each.name}={each.number}" for each in descriptor.fields)


def test_the_bytes_are_those_of_the_protocol():
    """A request written by hand from the tables is what we read, and what we write."""
    by_hand = (
        b"\x0a\x09"  # attributes, 9 bytes
        b"\x0a\x01a"  # words: a
        b"\x12\x04\x08\x01\x10\x01"  # strings: -1 (a) is -1 (a), in zig-zag
        b"\x10\xde\x01"  # global_word_count: 222
        b"\x1a\x01i"  # deduplication_id: i
        b"\x22\x07\x0a\x01q\x12\x02\x08\x01"  # quotas: q, amount 1
    )
    request = mixer_v1_pb2.CheckRequest.FromString(by_hand)
    attributes = mixer_v1_pb2.CompressedAttributes(words=["a"], strings={-1: -1})
    written = mixer_v1_pb2.CheckRequest(
        attributes=attributes,
        global_word_count=222,
        deduplication_id="i",
        quotas={"q": mixer_v1_pb2.CheckRequest.QuotaParams(amount=1)},
    )
    assert (written, by_hand) == (request, written.SerializeToString())


def test_another_package_may_have_the_same_messages():
    """The names are not in protobuf's own pool, so nothing clashes, in either order."""
    other = (
        "from google.protobuf import descriptor_pb2, descriptor_pool, any_pb2\n"
        "def other():\n"
        "    for package, name in (('google.rpc', 'Status'), ('istio.mixer.v1', 'StringMap')):\n"
        "        file = descriptor_pb2.FileDescriptorProto(name=package + '.proto', package=package)\n"
        "        file.message_type.add(name=name)\n"
        "        descriptor_pool.Default().AddSerializedFile(file.SerializeToString())\n"
    )
    ours = "from meshregistry.mixer.proto import mixer_v1_pb2\n"
    for program in (f"{other}other()\n{ours}", f"{other}{ours}other()\n"):
        subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
    assert rpc_status_pb2.Status.DESCRIPTOR.file.pool is mixer_v1_pb2.DESCRIPTOR.pool
