"""Requests as values, and responses as shared bytes."""

from __future__ import annotations

import pytest
from envoy.config.core.v3 import base_pb2
from envoy.service.discovery.v3 import discovery_pb2
from google.rpc import status_pb2

from meshregistry.ads import DeltaRequest, DeltaResponse, Request, Response
from meshregistry.errors import RemoteAdsError
from meshregistry.model import CLUSTER, ENDPOINT, Locality, Resource, ResourceSet
from meshregistry.server._codec import Decoder, Encoder, decode_request


def resources(count: int, size: int = 10) -> tuple[Resource, ...]:
    """Some clusters, in a set's own tuple."""
    made = [
        Resource(type_url=CLUSTER, name=f"c{number:04}", bytes=b"%d" % number * size)
        for number in range(count)
    ]
    return ResourceSet.of(made).resources(CLUSTER)


def response(listed: tuple[Resource, ...], nonce: str = "1.1", version: str = "v") -> Response:
    """A state-of-the-world response of these."""
    return Response(type_url=CLUSTER, version=version, resources=listed, nonce=nonce)


class TestDecoding:
    """Bytes become requests."""

    def test_a_request_becomes_a_value(self):
        """Names, version, nonce and the message of a refusal are taken over."""
        data = discovery_pb2.DiscoveryRequest(
            type_url=CLUSTER,
            version_info="v",
            response_nonce="n",
            resource_names=["a", "b"],
            error_detail=status_pb2.Status(code=3, message="no"),
        ).SerializeToString()
        expected = Request(type_url=CLUSTER, names=("a", "b"), version="v", nonce="n", error="no")
        assert (expected, None) == decode_request(data, is_delta=False)

    def test_a_delta_request_becomes_a_value(self):
        """Subscriptions, known versions and nonce are taken over."""
        data = discovery_pb2.DeltaDiscoveryRequest(
            type_url=CLUSTER,
            response_nonce="n",
            resource_names_subscribe=["a"],
            resource_names_unsubscribe=["b"],
            initial_resource_versions={"a": "1"},
        ).SerializeToString()
        expected = DeltaRequest(
            type_url=CLUSTER,
            subscribe=("a",),
            unsubscribe=("b",),
            initial_versions={"a": "1"},
            nonce="n",
        )
        assert (expected, None) == decode_request(data, is_delta=True)

    def test_a_node_becomes_a_value(self):
        """Id, cluster, metadata, locality, user agent and features are taken over."""
        node = base_pb2.Node(
            id="a",
            cluster="edge",
            locality=base_pb2.Locality(region="r", zone="z", sub_zone="s"),
            user_agent_name="envoy",
            client_features=["f"],
        )
        node.metadata.update({"LABELS": {"app": "x"}})
        node.user_agent_build_version.version.major_number = 1
        data = discovery_pb2.DiscoveryRequest(type_url=CLUSTER, node=node).SerializeToString()
        _, found = decode_request(data, is_delta=False)
        assert found is not None
        assert ("a", "edge", "envoy", "1.0.0") == (
            found.id,
            found.cluster,
            found.user_agent_name,
            found.user_agent_version,
        )
        assert {"LABELS": {"app": "x"}} == found.metadata
        assert Locality("r", "z", "s") == found.locality
        assert frozenset({"f"}) == found.client_features

    def test_bytes_that_are_no_request_are_the_peers_fault(self):
        """Malformed protobuf closes with INVALID_ARGUMENT."""
        with pytest.raises(RemoteAdsError, match=r"is not a envoy\.service") as caught:
            decode_request(b"\xff\xff\xff", is_delta=False)
        assert "INVALID_ARGUMENT" == caught.value.status

    def test_metadata_that_is_not_json_is_the_peers_fault(self):
        """A number that JSON cannot express closes with INVALID_ARGUMENT."""
        node = base_pb2.Node(id="a")
        node.metadata.fields["x"].number_value = float("inf")
        data = discovery_pb2.DiscoveryRequest(type_url=CLUSTER, node=node).SerializeToString()
        with pytest.raises(RemoteAdsError, match="metadata is not JSON"):
            decode_request(data, is_delta=False)

    def test_a_separate_service_knows_its_type(self):
        """The type may be left out there, and must not be another one."""
        assert CLUSTER == decode_request(b"", is_delta=False, type_url=CLUSTER)[0].type_url
        data = discovery_pb2.DiscoveryRequest(type_url=ENDPOINT).SerializeToString()
        with pytest.raises(RemoteAdsError, match="this service serves"):
            decode_request(data, is_delta=False, type_url=CLUSTER)

    def test_an_aggregated_stream_needs_a_type(self):
        """Without a type it is not known what is asked for."""
        with pytest.raises(RemoteAdsError, match="no type_url"):
            decode_request(b"", is_delta=True)


class TestDecoder:
    """Requests that many streams send are parsed once."""

    def test_equal_bytes_are_one_value(self):
        """Also their names exist once; the variant and the service count."""
        decoder = Decoder()
        data = discovery_pb2.DiscoveryRequest(type_url=CLUSTER, response_nonce="n")
        first, _ = decoder.decode(data.SerializeToString(), is_delta=False)
        assert first is decoder.decode(data.SerializeToString(), is_delta=False)[0]
        assert (
            first == decoder.decode(data.SerializeToString(), is_delta=False, type_url=CLUSTER)[0]
        )
        assert isinstance(decoder.decode(b"", is_delta=True, type_url=CLUSTER)[0], DeltaRequest)
        assert isinstance(decoder.decode(b"", is_delta=False, type_url=CLUSTER)[0], Request)

    def test_a_request_with_a_node_is_parsed_each_time(self):
        """The node would be forgotten otherwise."""
        decoder = Decoder()
        data = discovery_pb2.DiscoveryRequest(type_url=CLUSTER, node=base_pb2.Node(id="a"))
        for _ in range(2):
            _, node = decoder.decode(data.SerializeToString(), is_delta=False)
            assert node is not None
            assert "a" == node.id

    def test_what_is_kept_is_bounded(self):
        """Neither many requests nor large ones pile up."""
        decoder = Decoder()
        for number in range(5_000):
            data = discovery_pb2.DiscoveryRequest(
                type_url=CLUSTER, response_nonce=str(number), resource_names=[str(number)]
            )
            decoder.decode(data.SerializeToString(), is_delta=False)
        large = discovery_pb2.DiscoveryRequest(type_url=CLUSTER, response_nonce="x" * 200_000)
        decoder.decode(large.SerializeToString(), is_delta=False)
        assert 3_000 < len(decoder._known) < 4_096
        assert max(len(key[0]) for key in decoder._known) < 100
        assert 64 == len(decoder._lists)

    def test_equal_lists_of_names_are_one_object(self):
        """An ACK repeats the list with another nonce; comparing the two then costs nothing."""
        decoder = Decoder()
        first, second = (
            decoder.decode(
                discovery_pb2.DiscoveryRequest(
                    type_url=ENDPOINT, resource_names=["a", "b"], response_nonce=nonce
                ).SerializeToString(),
                is_delta=False,
            )[0]
            for nonce in ("1", "2")
        )
        assert isinstance(first, Request)
        assert isinstance(second, Request)
        assert ("a", "b") == first.names
        assert first.names is second.names


class TestEncoder:
    """Responses become bytes."""

    def test_a_response_is_what_protobuf_would_read(self):
        """The joined bytes parse into the same resources, in the same order."""
        listed = resources(3)
        parsed = discovery_pb2.DiscoveryResponse.FromString(Encoder().encode(response(listed)))
        assert ("v", CLUSTER, "1.1") == (parsed.version_info, parsed.type_url, parsed.nonce)
        assert [each.bytes for each in listed] == [each.value for each in parsed.resources]

    def test_a_delta_response_is_what_protobuf_would_read(self):
        """Resources, heartbeats and removals all arrive."""
        first, second = resources(2)
        data = Encoder().encode(
            DeltaResponse(
                type_url=CLUSTER,
                version="v",
                resources=(first,),
                removed=("gone",),
                nonce="1.1",
                heartbeats=(second,),
            )
        )
        parsed = discovery_pb2.DeltaDiscoveryResponse.FromString(data)
        assert [True, False] == [each.HasField("resource") for each in parsed.resources]
        assert ["gone"] == list(parsed.removed_resources)

    def test_one_content_is_one_object(self):
        """Streams that get the same response share its bytes, however the tuple was made."""
        listed = resources(3)
        encoder = Encoder()
        first = encoder.encode(response(listed))
        assert first is encoder.encode(response(listed))
        assert first is encoder.encode(response((*listed[:1], *listed[1:])))
        assert (2, 1) == (encoder.hits, encoder.misses)

    def test_a_new_nonce_replaces_the_old_one(self):
        """The body is kept and the nonce is not in it."""
        listed = resources(3)
        encoder = Encoder()
        encoder.encode(response(listed, nonce="9.1"))
        again = encoder.encode(response(listed, nonce="10.1"))
        assert Encoder().encode(response(listed, nonce="10.1")) == again
        assert again is encoder.encode(response(listed, nonce="10.1"))

    @pytest.mark.parametrize("other", ["version", "resources", "kind"])
    def test_different_content_is_another_object(self, other: str):
        """Version, resources and variant all count."""
        listed = resources(3)
        encoder = Encoder()
        first = encoder.encode(response(listed))
        changed = {
            "version": response(listed, version="w"),
            "resources": response(listed[:2]),
            "kind": DeltaResponse(
                type_url=CLUSTER, version="v", resources=listed, removed=(), nonce="1.1"
            ),
        }[other]
        assert first != encoder.encode(changed)
        assert 0 == encoder.hits

    def test_a_life_is_for_those_who_understand_it(self):
        """With a time to live, clients with and without the feature get different bytes."""
        lives = (Resource(type_url=CLUSTER, name="a", bytes=b"x", ttl=3),)
        encoder = Encoder()
        plain = encoder.encode(response(lives))
        wrapped = encoder.encode(response(lives), supports_ttl=True)
        parse = discovery_pb2.DiscoveryResponse.FromString
        assert CLUSTER == parse(plain).resources[0].type_url
        assert parse(wrapped).resources[0].type_url.endswith("discovery.v3.Resource")

    def test_what_is_kept_is_bounded(self):
        """The oldest goes first; what is too large is never kept."""
        encoder = Encoder(max_bytes=5_000)
        for version in "abcdef":
            encoder.encode(response(resources(20), version=version))
            assert encoder.size <= 5_000
        assert 0 < encoder.size
        before = encoder.size
        encoder.encode(response(resources(2_000)))
        assert before == encoder.size
