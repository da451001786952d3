"""Generates the message modules of `meshregistry.mixer.proto`: `make proto`.

protoc parses the .proto files and writes the stubs for type checkers. The modules are ours:
they load the descriptor into a pool of our own (see `_pool.py` there), and they are not bound
to a version of the protobuf runtime, as what protoc writes would be.
"""

from __future__ import annotations

import sys
import tempfile
import textwrap
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc

SOURCE = Path(__file__).parents[1] / "src"
FOLDER = SOURCE / "meshregistry/mixer/proto"
WELL_KNOWN = Path(protoc.__file__).parent / "_proto"
NOTE = "Generated from {name} by `make proto`; not to be edited."


def generated() -> dict[str, str]:
    """The text of each generated file, by its name."""
    protos = [str(path.relative_to(SOURCE)) for path in sorted(FOLDER.glob("*.proto"))]
    with tempfile.TemporaryDirectory() as out:
        result = Path(out) / "descriptors"
        command = [
            "protoc",
            f"-I{SOURCE}",
            f"-I{WELL_KNOWN}",
            f"--descriptor_set_out={result}",
            f"--pyi_out={out}",
            *protos,
        ]
        if protoc.main(command) != 0:
            raise SystemExit("protoc failed; it said why")
        files = FileDescriptorSet.FromString(result.read_bytes()).file
        texts = {}
        for file in files:
            stem = Path(file.name).stem + "_pb2"
            stub = (Path(out) / file.name).with_name(f"{stem}.pyi").read_text(encoding="utf-8")
            note = NOTE.format(name=Path(file.name).name)
            # protoc's stubs are not strict, and a field named `bytes` hides the type.
            texts[f"{stem}.pyi"] = f"# {note}\n# mypy: ignore-errors\n{stub}"
            texts[f"{stem}.py"] = module(note, file)
    return texts


def module(note: str, file) -> str:
    """A module with the message classes of one file."""
    own = "meshregistry.mixer.proto"
    needs = "".join(
        f"import {Path(name).with_suffix('').as_posix().replace('/', '.')}_pb2\n"
        for name in file.dependency
        if name.startswith("meshregistry/")
    )
    descriptor = file.SerializeToString(deterministic=True).hex()
    lines = "\n".join(f'    "{line}"' for line in textwrap.wrap(descriptor, 90))
    names = [message.name for message in file.message_type]
    classes = "".join(f'{name} = _CLASSES["{name}"]\n' for name in names)
    return (
        f'"""{note}"""\n\n'
        f"{needs}from {own}._pool import file_descriptor, message_classes\n\n"
        f"_DESCRIPTOR = bytes.fromhex(\n{lines}\n)\n\n"
        "DESCRIPTOR = file_descriptor(_DESCRIPTOR)\n\n"
        "_CLASSES = message_classes(DESCRIPTOR)\n\n"
        f"{classes}"
    )


def main() -> None:
    """Write what is generated beside the .proto files."""
    for name, text in generated().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        print(f"wrote {name}", file=sys.stderr)


if __name__ == "__main__":
    main()
