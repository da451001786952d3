"""An adapter of Mixer in a process of its own: denies the names in its configuration.

It knows nothing of meshregistry: its messages are compiled from what is written below, by the
tables of the protocol. Usage: ``python mixer_backend.py PORT``.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message_factory import GetMessages
from google.protobuf.struct_pb2 import Struct
from grpc_tools import protoc

PROTOS = {
    "model.proto": """
syntax = "proto3";
package istio.mixer.adapter.model.v1beta1;
import "google/protobuf/any.proto";
import "google/protobuf/duration.proto";
message Status { int32 code = 1; string message = 2; }
message ValidateRequest {
  google.protobuf.Any adapter_config = 1;
  map<string, google.protobuf.Any> inferred_types = 2;
}
message ValidateResponse { Status status = 1; }
message CreateSessionRequest {
  google.protobuf.Any adapter_config = 1;
  map<string, google.protobuf.Any> inferred_types = 2;
}
message CreateSessionResponse { string session_id = 1; Status status = 2; }
message CloseSessionRequest { string session_id = 1; }
message CloseSessionResponse { Status status = 1; }
message CheckResult {
  Status status = 1;
  google.protobuf.Duration valid_duration = 2;
  int32 valid_use_count = 3;
}
""",
    "listentry.proto": """
syntax = "proto3";
package listentry;
import "google/protobuf/any.proto";
message Value { oneof value { string string_value = 1; } }
message InstanceMsg { Value value = 1; string name = 72295727; }
message Type { int32 value = 1; }
message HandleListEntryRequest {
  InstanceMsg instance = 1;
  google.protobuf.Any adapter_config = 2;
  string dedup_id = 3;
}
""",
}
MODEL = "istio.mixer.adapter.model.v1beta1"


def compiled() -> dict:
    """The classes of the messages, by their full names."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in PROTOS.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        well_known = Path(protoc.__file__).parent / "_proto"
        out = Path(folder) / "out"
        words = ["protoc", f"-I{folder}", f"-I{well_known}", "--include_imports"]
        if protoc.main([*words, f"--descriptor_set_out={out}", *PROTOS]) != 0:
            raise SystemExit("protoc failed; it said why")
        return GetMessages(FileDescriptorSet.FromString(out.read_bytes()).file)


class Backend:
    """Sessions, each with the names that it denies."""

    def __init__(self, classes: dict) -> None:
        self.classes = classes
        self.sessions: dict[str, set[str]] = {}

    def model(self, name: str, **fields):
        """A message of the model."""
        return self.classes[f"{MODEL}.{name}"](**fields)

    async def validate(self, request, context):
        """Only a configuration with a list of names is one."""
        is_right = "denied" in Struct.FromString(request.adapter_config.value)
        status = self.model("Status", code=0 if is_right else 3, message="denied: is missing")
        return self.model("ValidateResponse", status=status)

    async def create(self, request, context):
        """The types of instances have to be those that it takes."""
        session = f"session-{len(self.sessions)}"
        self.sessions[session] = set(Struct.FromString(request.adapter_config.value)["denied"])
        for inferred in request.inferred_types.values():
            kind = self.classes["listentry.Type"].FromString(inferred.value)
            assert (inferred.type_url, kind.value) == ("type.googleapis.com/listentry.Type", 1)
        return self.model("CreateSessionResponse", session_id=session)

    async def close(self, request, context):
        """Forget a session."""
        del self.sessions[request.session_id]
        return self.model("CloseSessionResponse")

    async def handle(self, request, context):
        """Deny the names of the session, or of the configuration that came with the call."""
        config = request.adapter_config
        if config.type_url == "google.protobuf.Any.type_url":
            session = config.value.decode()
            if session not in self.sessions:
                await context.abort(grpc.StatusCode.NOT_FOUND, "no such session")
            denied = self.sessions[session]
        else:
            denied = set(Struct.FromString(config.value)["denied"])
        value = request.instance.value.string_value
        result = self.model("CheckResult", valid_use_count=1)
        if value in denied:
            result.status.code = 7
            result.status.message = f"{value} by {request.instance.name}"
        result.valid_duration.nanos = 1
        return result

    def services(self):
        """What is served."""
        model = {
            "Validate": (self.validate, "ValidateRequest"),
            "CreateSession": (self.create, "CreateSessionRequest"),
            "CloseSession": (self.close, "CloseSessionRequest"),
        }
        yield f"{MODEL}.InfrastructureBackend", model, MODEL
        own = {"HandleListEntry": (self.handle, "HandleListEntryRequest")}
        yield "listentry.HandleListEntryService", own, "listentry"


async def main(port: str) -> None:
    """Serve until the process is ended."""
    backend, server = Backend(compiled()), grpc.aio.server()
    for service, methods, package in backend.services():
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                call,
                request_deserializer=backend.classes[f"{package}.{request}"].FromString,
                response_serializer=lambda one: one.SerializeToString(),
            )
            for name, (call, request) in methods.items()
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
