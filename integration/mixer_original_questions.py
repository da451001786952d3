"""Documents for policy, and what two servers with them are asked: checks and quotas."""

from __future__ import annotations

from typing import Any

from mixer_both import manifest

Document = tuple[str, str, Any]

ATTRIBUTES = manifest(
    {
        "context.reporter.kind": "STRING",
        "destination.namespace": "STRING",
        "request.headers": "STRING_MAP",
        "request.path": "STRING",
        "request.size": "INT64",
        "source.ip": "IP_ADDRESS",
        "source.labels": "STRING_MAP",
        "source.name": "STRING",
        "source.namespace": "STRING",
    }
)


def handler(name: str, adapter: str, **params: Any) -> Document:
    """One of a compiled adapter."""
    return "handler", name, {"compiledAdapter": adapter, "params": params}


def instance(name: str, template: str, **params: Any) -> Document:
    """One of a compiled template."""
    return "instance", name, {"compiledTemplate": template, "params": params}


def rule(name: str, match: str, *actions: tuple[str, ...], **more: Any) -> Document:
    """One with actions of a handler and its instances."""
    sent = [{"handler": to, "instances": list(instances)} for to, *instances in actions]
    return "rule", name, {"match": match, "actions": sent, **more}


def on(path: str) -> str:
    """A condition; the path may be absent."""
    return f'request.path == "{path}"'


HEADERS = {
    "requestHeaderOperations": [
        {"name": "x-user", "values": ['source.name | "none"']},
        {"name": "x-old", "operation": "REMOVE"},
        {"name": "x-empty", "values": ['source.labels["empty"] | ""']},
        {"name": "x-app", "values": ['source.labels["app"]']},
    ],
    "responseHeaderOperations": [
        {"name": "x-seen", "values": ['"a"', '"b"'], "operation": "APPEND"}
    ],
}
CHECKS = (
    handler(
        "deny",
        "denier",
        status={"code": 7, "message": "not you"},
        validDuration="20s",
        validUseCount=7,
    ),
    handler("plain", "denier"),
    handler("yes", "noop"),
    instance("nothing", "checknothing"),
    instance("other", "checknothing"),
    rule("header", 'request.headers["x-user"] == "eve"', ("deny", "nothing")),
    rule("two", on("/two"), ("deny", "nothing", "other")),
    rule("plain", on("/plain"), ("plain", "nothing")),
    rule("both", on("/both"), ("yes", "nothing"), ("addresses", "address")),
    rule("lazy", 'request.size == 1 && source.name == "x"', ("deny", "nothing")),
    rule("headers", f"{on('/headers')} || {on('/black')} || {on('/two')}", **HEADERS),
    # The documents of the first versions: the kind is the adapter's, or the template's.
    ("denier", "old", {"status": {"code": 16, "message": "old"}}),
    ("checknothing", "old", None),
    rule("old", on("/old"), ("old.denier", "old.checknothing")),
)
LISTS = (
    handler(
        "black",
        "listchecker",
        overrides=["ann", "ben"],
        blacklist=True,
        cachingInterval="30s",
        cachingUseCount=3,
    ),
    handler("white", "listchecker", overrides=["ann"]),
    handler(
        "folded",
        "listchecker",
        overrides=["Ann"],
        blacklist=True,
        entryType="CASE_INSENSITIVE_STRINGS",
    ),
    handler(
        "patterns", "listchecker", overrides=["^a.*n$", "x+"], blacklist=True, entryType="REGEX"
    ),
    handler(
        "addresses",
        "listchecker",
        overrides=["10.0.0.0/8", "1.2.3.4", "fd00::/8"],
        blacklist=True,
        entryType="IP_ADDRESSES",
    ),
    instance("name", "listentry", value="source.name"),
    instance("address", "listentry", value='source.ip | ip("0.0.0.0")'),
    instance("text", "listentry", value='source.name | "1.2.3.4"'),
    instance("label", "listentry", value='source.labels["team"]'),
    *(
        rule(f"list-{name}", on(f"/{name}"), (name, "name"))
        for name in ("black", "white", "folded", "patterns")
    ),
    rule("list-addresses", on("/addresses"), ("addresses", "address")),
    rule("list-texts", on("/texts"), ("addresses", "text")),
    rule("list-labels", on("/labels"), ("black", "label")),
)
OF_A_TEAM = (
    rule("deny.team", on("/team"), ("deny.istio-system", "nothing.istio-system")),
    rule(
        "headers.team",
        on("/team-headers"),
        requestHeaderOperations=[{"name": "x-team", "values": ['"team"']}],
    ),
    rule(
        "for-all",
        on("/team-headers"),
        requestHeaderOperations=[{"name": "x-all", "values": ['"all"']}],
    ),
)
QUOTAS = (
    handler(
        "quota",
        "memquota",
        quotas=[
            {
                "name": "calls.instance.istio-system",
                "maxAmount": 5,
                "validDuration": "3600s",
                "overrides": [
                    {"dimensions": {"who": "vip"}, "maxAmount": 50, "validDuration": "7200s"},
                    {"dimensions": {"who": "one"}, "maxAmount": 1, "validDuration": "60s"},
                ],
            },
            {"name": "held.instance.istio-system", "maxAmount": 4},
        ],
    ),
    instance(
        "calls",
        "quota",
        dimensions={"who": 'source.name | "none"', "from": 'source.ip | ip("0.0.0.0")'},
    ),
    instance("held", "quota", dimensions={"who": "source.name"}),
    rule("quota", 'request.path != "/free"', ("quota", "calls", "held")),
)
DOCUMENTS = (ATTRIBUTES, *CHECKS, *LISTS, *OF_A_TEAM, *QUOTAS)

V4, MAPPED = bytes([10, 1, 1, 1]), bytes(10) + b"\xff\xff" + bytes([10, 1, 1, 1])
ADDRESSES = (V4, bytes([11, 1, 1, 1]), MAPPED, b"\xfd" + bytes(15), bytes(16))
NAMES = ("ann", "ANN", "ben", "", "axn", "10.2.3.4", "fd00::1", "1.2.3.4")
LABELS = {"app": "a", "empty": "", "team": "ann"}
QUESTIONS = (
    {},
    {"request.headers": {"x-user": "eve"}},
    {"request.headers": {"x-user": "ann"}},
    {"request.headers": {}},
    *({"request.path": path} for path in ("/two", "/plain", "/both", "/old", "/headers", "/none")),
    {"request.path": "/two", "request.headers": {"x-user": "eve"}},
    {"request.path": "/both", "source.ip": V4},
    {"request.path": "/headers", "source.name": "ann", "source.labels": LABELS},
    {"request.path": "/headers", "source.labels": {}},
    *({"request.path": "/addresses", "source.ip": one} for one in ADDRESSES),
    {"request.path": "/addresses"},
    *(
        {"request.path": f"/{path}", "source.name": name}
        for path in ("black", "white", "folded", "patterns")
        for name in NAMES
    ),
    *({"request.path": "/texts", "source.name": one} for one in (*NAMES[:3], *NAMES[4:])),
    *({"request.path": "/labels", "source.labels": one} for one in ({}, LABELS, {"team": "x"})),
    {"request.path": "/black"},
    {"request.path": "/team"},
    {"request.path": "/team", "destination.namespace": "team"},
    {"request.path": "/team", "destination.namespace": "other"},
    {"request.path": "/team", "destination.namespace": ""},
    *(
        {"request.path": "/team", f"{side}.namespace": "team", "context.reporter.kind": kind}
        for side in ("source", "destination")
        for kind in ("inbound", "outbound", "gateway", "")
    ),
    {"request.path": "/team-headers"},
    {"request.size": 1},
    {"request.size": 1, "source.name": "x"},
    # Attributes that nobody declared, and of another type than declared.
    {"nobody.knows": "x", "request.path": "/plain"},
    {"request.path": 5},
    {"source.name": b"abc"},
)
# Each amount is asked for in turn, of both.
QUOTA_QUESTIONS = (
    *(("ann", "calls", amount, False) for amount in (3, 3, 2, 0)),
    *(("ben", "calls", amount, True) for amount in (3, 3, 3)),
    *(("vip", "calls", amount, False) for amount in (40, 40, 10)),
    *(("one", "calls", amount, True) for amount in (2, 1)),
    *(("ann", "held", amount, False) for amount in (3, 3, 1)),
    *(("ben", "held", amount, True) for amount in (3, 3, 3)),
    *(("cid", "CALLS", amount, False) for amount in (4, 1)),
    ("dan", "unknown", 7, False),
)
