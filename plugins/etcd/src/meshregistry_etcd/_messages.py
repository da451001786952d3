"""etcd's messages and stubs, as the library etcd3 brings them, on any protobuf.

The generated modules of etcd3 0.12.0 build their descriptors by hand, which protobuf has
refused since version 4. The description of each file stands in them as a literal, though,
so the message classes are made from those literals, in a pool of their own: other clients
of etcd in the same process bring files of the same names.
"""

from __future__ import annotations

import ast
import importlib
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.internal import enum_type_wrapper

_PACKAGE = "etcd3.etcdrpc"
_FILES = ("kv", "auth", "rpc")  # in order of their imports


def _description(source: str) -> bytes:
    """The serialized FileDescriptorProto in the source of a generated module.

    Raises:
        LookupError: if there is none.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.keyword) and node.arg == "serialized_pb":
            for inner in ast.walk(node.value):
                if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                    return inner.value.encode("latin1")
    msg = "a module of etcd3 has no serialized descriptor; install etcd3==0.12.0"
    raise LookupError(msg)


def _module(name: str, file: Any) -> ModuleType:
    """What the generated module of a file would have been."""
    module = ModuleType(name)
    contents: dict[str, Any] = {"DESCRIPTOR": file}
    for title, descriptor in file.message_types_by_name.items():
        contents[title] = message_factory.GetMessageClass(descriptor)
    for title, descriptor in file.enum_types_by_name.items():
        contents[title] = enum_type_wrapper.EnumTypeWrapper(descriptor)
        contents.update((value.name, value.number) for value in descriptor.values)
    vars(module).update(contents)
    return module


def _prepare() -> None:
    """Put the modules where etcd3 will look for them, unless they are there already."""
    names = {file: f"{_PACKAGE}.{file}_pb2" for file in _FILES}
    if all(name in sys.modules for name in names.values()):
        return
    spec = find_spec("etcd3")
    if spec is None or spec.origin is None:
        msg = "the library etcd3 is not installed; type: pip install etcd3==0.12.0"
        raise ModuleNotFoundError(msg, name="etcd3")
    folder = Path(spec.origin).parent / "etcdrpc"
    pool = descriptor_pool.DescriptorPool()
    for file, name in names.items():
        source = (folder / f"{file}_pb2.py").read_text(encoding="utf-8")
        pool.AddSerializedFile(_description(source))
        sys.modules[name] = _module(name, pool.FindFileByName(f"{file}.proto"))


def load() -> Any:
    """The module ``etcd3.etcdrpc``: messages, stubs and servicers by their names.

    Raises:
        ModuleNotFoundError: if etcd3 is not installed.
        LookupError: if it is a version that is built otherwise.
    """
    _prepare()
    return importlib.import_module(_PACKAGE)


rpc: Any = load()
kv: Any = sys.modules[f"{_PACKAGE}.kv_pb2"]

# `WatchRequest.progress_request` is younger than etcd3's files: field 3, an empty message.
# What a message does not know it keeps and sends on.
PROGRESS_REQUEST: Any = rpc.WatchRequest.FromString(b"\x1a\x00")
