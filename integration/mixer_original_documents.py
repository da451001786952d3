"""Documents for one half of Mixer that is tried with the original's other half."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mixer_both import manifest

if TYPE_CHECKING:
    from pathlib import Path

ATTRIBUTES = manifest(
    {
        "connection.mtls": "BOOL",
        "context.reporter.kind": "STRING",
        "destination.namespace": "STRING",
        "request.headers": "STRING_MAP",
        "request.path": "STRING",
        "request.time": "TIMESTAMP",
        "response.code": "INT64",
        "response.duration": "DURATION",
        "source.ip": "IP_ADDRESS",
        "source.name": "STRING",
        "source.namespace": "STRING",
    }
)
POLICY = (
    ATTRIBUTES,
    (
        "handler",
        "deny",
        {
            "compiledAdapter": "denier",
            "params": {
                "status": {"code": 7, "message": "not you"},
                "validDuration": "60s",
                "validUseCount": 3,
            },
        },
    ),
    ("instance", "nothing", {"compiledTemplate": "checknothing"}),
    (
        "rule",
        "deny",
        {
            "match": 'request.headers["x-user"] == "eve"',
            "actions": [{"handler": "deny", "instances": ["nothing"]}],
        },
    ),
    (
        "rule",
        "headers",
        {
            "match": 'match(request.path | "", "/h*")',
            "requestHeaderOperations": [
                {"name": "x-name", "values": ['source.name | "nobody"']},
                {"name": "x-secret", "operation": "REMOVE"},
            ],
            "responseHeaderOperations": [
                {"name": "x-seen", "values": ['"a"', '"b"'], "operation": "APPEND"}
            ],
        },
    ),
    (
        "handler",
        "quota",
        {
            "compiledAdapter": "memquota",
            "params": {
                "quotas": [
                    {"name": "calls.instance.istio-system", "maxAmount": 30, "validDuration": "1h"}
                ]
            },
        },
    ),
    (
        "instance",
        "calls",
        {"compiledTemplate": "quota", "params": {"dimensions": {"who": 'source.name | ""'}}},
    ),
    ("rule", "quota", {"actions": [{"handler": "quota", "instances": ["calls"]}]}),
)
VARIABLES = {
    "who": 'source.name | "nobody"',
    "at": 'request.time | timestamp("2000-01-01T00:00:00Z")',
    "code": "response.code | 0",
    "took": 'response.duration | "0s"',
    "ip": 'source.ip | ip("0.0.0.0")',
    "tls": "connection.mtls | false",
    "user": 'request.headers["x-user"] | "-"',
}


def logging(file: Path) -> tuple[tuple[str, str, Any], ...]:
    """A configuration that writes each report into a file, as a line of JSON."""
    params = {"logStream": "FILE", "outputPath": str(file)}
    return (
        ATTRIBUTES,
        ("handler", "log", {"compiledAdapter": "stdio", "params": params}),
        (
            "instance",
            "entry",
            {
                "compiledTemplate": "logentry",
                "params": {
                    "severity": '"warning"',
                    "timestamp": 'request.time | timestamp("2000-01-01T00:00:00Z")',
                    "variables": VARIABLES,
                },
            },
        ),
        ("rule", "log", {"actions": [{"handler": "log", "instances": ["entry"]}]}),
    )
