"""The messages of Mixer's protocol, in modules as protoc makes them.

They live in a descriptor pool of their own, so they clash with no other package that has
the same messages; nor can a `Duration` of protobuf's default pool be copied into them: set
`seconds` and `nanos`.
"""

from meshregistry.mixer.proto import mixer_v1_pb2, rpc_status_pb2

__all__ = ["mixer_v1_pb2", "rpc_status_pb2"]
