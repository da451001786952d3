"""Message classes from a descriptor pool of our own.

The names of Mixer's messages are those of the protocol (`istio.mixer.v1`, `google.rpc`).
In protobuf's default pool a name exists once in a process: there, a program that has them
from another package too could not import one of the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshregistry.errors import MissingExtraError

try:
    from google.protobuf import any_pb2, duration_pb2, message_factory, timestamp_pb2
    from google.protobuf.descriptor_pb2 import FileDescriptorProto
    from google.protobuf.descriptor_pool import DescriptorPool
except ModuleNotFoundError as error:
    raise MissingExtraError("mixer", error.name or "protobuf") from error

if TYPE_CHECKING:
    from google.protobuf.descriptor import FileDescriptor

_WELL_KNOWN = (any_pb2, duration_pb2, timestamp_pb2)


def _pool() -> DescriptorPool:
    pool = DescriptorPool()
    for module in _WELL_KNOWN:
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    return pool


# Classes have to be the same for everybody who imports them, hence one pool for all.
POOL = _pool()


def file_descriptor(serialised: bytes) -> FileDescriptor:
    """Load one file into the pool.

    Args:
        serialised: its `FileDescriptorProto`.
    """
    name = FileDescriptorProto.FromString(serialised).name
    POOL.AddSerializedFile(serialised)
    return POOL.FindFileByName(name)


def message_classes(file: FileDescriptor) -> dict[str, Any]:
    """The classes of the messages of a loaded file, by name."""
    return {
        name: message_factory.GetMessageClass(each)
        for name, each in file.message_types_by_name.items()
    }
