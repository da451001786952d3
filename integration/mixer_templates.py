"""Templates and configurations of adapters by other people, as documents describe them."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path

from grpc_tools import protoc

SOURCE = Path(__file__).parents[1] / "src"
WELL_KNOWN = Path(protoc.__file__).parent / "_proto"
OPTIONS = """
syntax = "proto2";
package istio.mixer.adapter.model.v1beta1;
import "google/protobuf/descriptor.proto";
extend google.protobuf.FileOptions {
  optional int32 template_variety = 72295727;
  optional string template_name = 72295888;
}
"""
TEMPLATE = """
syntax = "proto3";
package {name};
import "options.proto";
import "google/protobuf/any.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/timestamp.proto";
import "meshregistry/mixer/proto/adapter_v1beta1.proto";
import "meshregistry/mixer/proto/policy_v1beta1.proto";
option (istio.mixer.adapter.model.v1beta1.template_variety) = {variety};
option (istio.mixer.adapter.model.v1beta1.template_name) = "{name}";
service Handle{title}Service {{ rpc Handle{title}(Handle{title}Request) returns ({result}); }}
message Handle{title}Request {{
  {repeated} InstanceMsg instance{s} = 1;
  google.protobuf.Any adapter_config = 2;
  string dedup_id = 3;
  {quota}
}}
message InstanceMsg {{ string name = 72295727; {fields} }}
{more}
"""
MODEL = "istio.mixer.adapter.model.v1beta1"
CHECK, REPORT, QUOTA, GENERATOR, CHECK_WITH_OUTPUT = range(5)
RESULTS = {
    CHECK: f".{MODEL}.CheckResult",
    REPORT: f".{MODEL}.ReportResult",
    QUOTA: f".{MODEL}.QuotaResult",
    GENERATOR: "OutputMsg",
}


def described(text: str) -> str:
    """The descriptor of one file of protocol buffers with all that it imports, for documents."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "options.proto").write_text(OPTIONS)
        (Path(folder) / "own.proto").write_text(text)
        out = Path(folder) / "descriptor"
        paths = [f"-I{path}" for path in (folder, SOURCE, WELL_KNOWN)]
        command = ["protoc", *paths, "--include_imports", f"--descriptor_set_out={out}"]
        assert protoc.main([*command, "own.proto"]) == 0, text
        return base64.b64encode(out.read_bytes()).decode()


def template(name: str, variety: int, fields: str = "", output: str = "", more: str = "") -> str:
    """The descriptor of a template.

    Args:
        name: of template and package; the methods have it, too.
        variety: what is done with it.
        fields: of its instances, as protocol buffers write them.
        output: of its output, likewise.
        more: further messages.
    """
    title = name.capitalize()
    own = ""
    if variety in {GENERATOR, CHECK_WITH_OUTPUT}:
        own = f"message OutputMsg {{ {output} }}\n"
    result = RESULTS.get(variety)
    if result is None:
        result = f"Handle{title}Response"
        own += f"message {result} {{ .{MODEL}.CheckResult result = 1; OutputMsg output = 2; }}\n"
    return described(
        TEMPLATE.format(
            name=name,
            title=title,
            variety=variety,
            result=result,
            repeated="repeated" if variety == REPORT else "",
            s="s" if variety == REPORT else "",
            quota=f".{MODEL}.QuotaRequest quota_request = 4;" if variety == QUOTA else "",
            fields=fields,
            more=own + more,
        )
    )


def parameters(package: str, fields: str, more: str = "") -> str:
    """The descriptor of the configuration of an adapter."""
    return described(
        f'syntax = "proto3"; package {package};\n'
        'import "google/protobuf/duration.proto"; import "google/protobuf/struct.proto";'
        'import "google/protobuf/timestamp.proto";\n'
        f"message Params {{ {fields} }}\n{more}"
    )
