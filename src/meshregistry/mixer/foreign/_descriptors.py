"""The descriptors in documents: base64 of a ``FileDescriptorSet``, in a pool of their own."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, Final

from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    duration_pb2,
    empty_pb2,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
from google.protobuf.descriptor_pb2 import (
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from google.protobuf.descriptor import FileDescriptor

_VARIETY, _NAME = 72_295_727, 72_295_888
"""The numbers of a file's options ``template_variety`` and ``template_name``."""
_WELL_KNOWN: Final[Mapping[str, bytes]] = {
    one.DESCRIPTOR.name: one.DESCRIPTOR.serialized_pb
    for one in (
        any_pb2,
        descriptor_pb2,
        duration_pb2,
        empty_pb2,
        struct_pb2,
        timestamp_pb2,
        wrappers_pb2,
    )
}
_REMEDY = "protoc writes it with --descriptor_set_out and --include_imports"


class Descriptors:
    """The files of one descriptor.

    They have a pool of their own: documents may well describe other messages by the same names.

    Args:
        text: as documents have it; blanks and line breaks do not count.

    Raises:
        ValueError: if it is none, or if something is missing in it.

    Attributes:
        data: the descriptor itself.
    """

    def __init__(self, text: str) -> None:
        try:
            self.data = base64.b64decode("".join(text.split()), validate=True)
        except binascii.Error as error:
            raise ValueError(f"is not base64: {error}") from error
        try:
            self._files = {one.name: one for one in FileDescriptorSet.FromString(self.data).file}
        except DecodeError as error:
            raise ValueError(f"is no serialised FileDescriptorSet; {_REMEDY}") from error
        if not self._files:
            raise ValueError(f"has no files; {_REMEDY}")
        self._pool = DescriptorPool()
        self._load(self._files, set(), ())

    def _load(self, names: Iterable[str], loaded: set[str], above: tuple[str, ...]) -> None:
        # In the order of imports, whatever that of the set is.
        for name in names:
            if name in loaded:
                continue
            own = self._files.get(name)
            if own is None and name in _WELL_KNOWN:
                own = FileDescriptorProto.FromString(_WELL_KNOWN[name])
            if own is None:
                raise ValueError(f"{above[-1]} imports {name}, which is not in it; {_REMEDY}")
            if name in above:
                raise ValueError(f"{name} imports itself")
            self._load(own.dependency, loaded, (*above, name))
            try:
                self._pool.AddSerializedFile(own.SerializeToString())
                self._pool.FindFileByName(name)
            except (TypeError, KeyError) as error:
                raise ValueError(f"{name} is not right: {error}") from error
            loaded.add(name)

    def marked(self) -> tuple[FileDescriptor, int, str]:
        """The file that is a template's, its variety and its name.

        Raises:
            ValueError: if there is none, or more than one.
        """
        # Whether the options are known here depends on what else runs in the process.
        said = {
            name: _MARKS.FromString(own.options.SerializeToString())
            for name, own in self._files.items()
        }
        names = [name for name, one in said.items() if one.HasField("variety")]
        if len(names) != 1:
            what = "no file" if not names else f"more than one file ({', '.join(names)})"
            raise ValueError(f"{what} has the option template_variety; one must have it")
        own = said[names[0]]
        if not own.name:
            raise ValueError(
                f"{names[0]} has no option template_name; describe the file with the service"
                " Handle<Name>Service"
            )
        return self._pool.FindFileByName(names[0]), own.variety, own.name

    def file_with(self, message: str) -> FileDescriptor:
        """The last file that has a message of this name.

        Raises:
            ValueError: if there is none.
        """
        for name in reversed(self._files):
            file = self._pool.FindFileByName(name)
            if message in file.message_types_by_name:
                return file
        raise ValueError(f"has no message {message}")


def message_class(descriptor: Any) -> Any:
    """The class of a message."""
    return GetMessageClass(descriptor)


def _marks() -> Any:
    file = FileDescriptorProto(name="marks.proto", syntax="proto2")
    message = file.message_type.add(name="Marks")
    for name, number, kind in (
        ("variety", _VARIETY, FieldDescriptorProto.TYPE_INT32),
        ("name", _NAME, FieldDescriptorProto.TYPE_STRING),
    ):
        one = message.field.add(name=name, number=number, type=kind)
        one.label = FieldDescriptorProto.LABEL_OPTIONAL
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName("Marks"))


_MARKS: Final = _marks()
