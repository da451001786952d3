"""Protobuf by hand: equal to what protobuf itself reads and writes."""

from __future__ import annotations

from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import any_pb2, struct_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from meshregistry.model import Resource
from meshregistry.server import _wire

names = st.text(max_size=40).filter(lambda text: text.isprintable())


def resource(name: str, content: bytes, ttl: float | None = None) -> Resource:
    """An opaque resource."""
    return Resource(type_url="type.googleapis.com/t.T", name=name, bytes=content, ttl=ttl)


@given(st.integers(min_value=0, max_value=2**40))
@settings(max_examples=50)
def test_a_varint_is_read_back_by_protobuf(number: int):
    """An integer is written as protobuf reads it (field 15 of a struct is unknown, and kept)."""
    data = b"\x08" + _wire.varint(number)
    parsed = discovery_pb2.Resource.FromString(b"\x32" + bytes([len(data)]) + data)
    assert number == parsed.ttl.seconds


@given(names, st.binary(max_size=300))
@settings(max_examples=50)
def test_frame_and_bytes_are_an_any_in_a_response(name: str, content: bytes):
    """A state-of-the-world resource is an ``Any`` with its type and bytes."""
    made = resource(name, content)
    parsed = discovery_pb2.DiscoveryResponse.FromString(_wire.any_record(made))
    expected = any_pb2.Any(type_url=made.type_url, value=content)
    assert [expected] == list(parsed.resources)


@given(
    names,
    st.binary(max_size=300),
    st.none() | st.floats(min_value=0.001, max_value=1e6, allow_nan=False),
)
@settings(max_examples=50)
def test_frame_and_bytes_are_a_resource_in_a_delta_response(
    name: str, content: bytes, ttl: float | None
):
    """An incremental resource has name, version (the digest), life and body."""
    made = resource(name, content, ttl)
    frame = _wire.delta_ttl_frame(made) if ttl else _wire.delta_frame(made)
    parsed = discovery_pb2.DeltaDiscoveryResponse.FromString(frame + made.bytes)
    (found,) = parsed.resources
    assert (name, made.digest) == (found.name, found.version)
    assert any_pb2.Any(type_url=made.type_url, value=content) == found.resource
    assert (ttl is not None) == found.HasField("ttl")
    if ttl is not None:
        assert round(ttl * 1e9) == found.ttl.ToNanoseconds()


def test_a_time_to_live_wraps_the_resource_in_the_any():
    """A state-of-the-world client that understands it gets a ``Resource`` inside the ``Any``."""
    made = resource("a", b"content", 1.5)
    parsed = discovery_pb2.DiscoveryResponse.FromString(_wire.any_ttl_frame(made) + made.bytes)
    inner = discovery_pb2.Resource()
    assert parsed.resources[0].Unpack(inner)
    assert ("a", made.digest, 1_500_000_000) == (
        inner.name,
        inner.version,
        inner.ttl.ToNanoseconds(),
    )
    assert b"content" == inner.resource.value
    assert made.type_url == inner.resource.type_url


def test_a_heartbeat_has_no_body():
    """Prolonging a life repeats name, version and life without the resource."""
    made = resource("a", b"content", 2)
    parsed = discovery_pb2.DeltaDiscoveryResponse.FromString(_wire.heartbeat(made))
    (found,) = parsed.resources
    assert not found.HasField("resource")
    assert ("a", made.digest, 2) == (found.name, found.version, found.ttl.seconds)


def test_removed_names_and_nonce_are_read_back():
    """Fields after the resources are fields of the response."""
    data = _wire.head("v1", "t") + _wire.removed_names(["a", "b"]) + _wire.nonce_field("n7")
    parsed = discovery_pb2.DeltaDiscoveryResponse.FromString(data)
    assert ["a", "b"] == list(parsed.removed_resources)
    assert ("v1", "t", "n7") == (parsed.system_version_info, parsed.type_url, parsed.nonce)


def test_a_frame_is_encoded_once():
    """The frame that was made for one response serves the next one."""
    made = resource("a", struct_pb2.Struct().SerializeToString())
    assert _wire.any_record(made) is _wire.any_record(made)
    assert _wire.delta_frame(made) is _wire.delta_frame(made)
