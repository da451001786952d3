"""The settings file as a whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meshregistry.documents import to_plain
from meshregistry.errors import ConfigError
from meshregistry.settings import Settings

EXAMPLE = """
sources:                         # order is precedence
  - {id: vms,  kind: file,       path: services/}
  - {id: dc1,  kind: consul,     address: http://127.0.0.1:8500, stale_after: null}
  - {id: k8s,  kind: kubernetes, context: prod, namespaces: [shop]}
rules:
  - {kind: file, path: routing/}
  - {kind: kubernetes, source: k8s}          # the custom resources of that cluster
mesh:                            # names of Istio's MeshConfig where one exists, in snake_case
  domain: mesh.local
  connect_timeout: 1s
server:
  xds:  127.0.0.1:15010          # gRPC; `tls:` adds certificates and client verification
  http: 127.0.0.1:8080           # v1 and v3 REST, registration
  admin: 127.0.0.1:8080          # status page, debug, writes; default: http's address while that is loopback
  probes: 127.0.0.1:8080         # health, readiness, metrics; likewise
"""


def parse(text, **environ):
    """Settings from the text of a file."""
    return Settings.parse(text, file="mesh.yaml", base_path="/base", environ=environ)


def messages(text, **environ):
    """What is wrong with a text."""
    with pytest.raises(ConfigError) as caught:
        parse(text, **environ)
    return str(caught.value).splitlines()


def test_the_example_of_the_interfaces_page():
    """As promised to users."""
    settings = parse(EXAMPLE)
    assert [("vms", "file"), ("dc1", "consul"), ("k8s", "kubernetes")] == [
        (source.id, source.kind) for source in settings.sources
    ]
    assert {"context": "prod", "namespaces": ["shop"]} == to_plain(settings.sources[2].options)
    assert [("file", "file", None), ("k8s", "kubernetes", "k8s")] == [
        (rule.id, rule.kind, rule.source) for rule in settings.rules
    ]
    assert (settings.mesh.domain, settings.mesh.connect_timeout) == ("mesh.local", 1.0)
    assert settings.server.admin == "127.0.0.1:8080"
    assert (settings.base_path, settings.file) == (Path("/base"), Path("mesh.yaml"))


def test_the_smallest_useful_file_is_two_lines():
    """Everything else has a default."""
    settings = parse("sources:\n  - {id: vms, kind: file, path: services/}\n")
    (source,) = settings.sources
    assert (source.required, source.namespace, source.stale_after) == (True, "", None)
    assert settings.server == Settings().server


def test_settings_from_python():
    """The same tree, from the program of the interfaces page; a folder may be given."""
    settings = Settings.from_dict(
        {"sources": [{"id": "mine", "kind": "memory"}], "server": {"xds": "127.0.0.1:0"}}
    )
    assert (settings.sources[0].id, settings.server.xds) == ("mine", "127.0.0.1:0")
    assert (settings.base_path, settings.file) == (Path.cwd(), None)
    assert Settings.from_dict({}, base_path="/base").base_path == Path("/base")
    with pytest.raises(ConfigError, match=r"<arguments>: sources\[0\].kind: the key is missing"):
        Settings.from_dict({"sources": [{"id": "mine"}]})
    assert Settings.from_dict({"mesh": {"access_log_file": "$X"}}).mesh.access_log_file == "$X"


def test_core_keys_are_the_cores():
    """Options are what is left for the kind, with positions."""
    (source,) = parse("""
sources:
  - id: dc1
    kind: consul
    required: false
    namespace: shop
    network: n1
    cluster: c1
    stale_after: 5m
    sync_timeout: 10s
    address: x:1
""").sources
    assert (source.required, source.namespace, source.network, source.cluster) == (
        False,
        "shop",
        "n1",
        "c1",
    )
    assert (source.stale_after, source.sync_timeout) == (300.0, 10.0)
    assert source.options.keys() == ("address",)
    assert source.options.get("address").path == "sources[0].address"
    assert (source.kind_place.line, source.kind_place.path) == (4, "sources[0].kind")


def test_reserved_keys_are_refused():
    """They would mean nothing today and something tomorrow."""
    assert messages("sources: [{id: a, kind: x, weight: 3}]") == [
        "mesh.yaml:1:28: sources[0].weight: the key is reserved and means nothing yet; take it out"
    ]


def test_a_fingerprint_is_equal_for_equal_settings():
    """Wherever and in whatever order they are written; quotes count, they decide types."""

    def fingerprint(source):
        return parse(f"sources: [{source}]").sources[0].fingerprint

    first = fingerprint("{id: a, kind: x, port: 80}")
    assert first == fingerprint("{port: 80,   kind: x, id: a}")
    assert first != fingerprint("{id: a, kind: x, port: 81}")
    assert first != fingerprint("{id: a, kind: x, port: '80'}")
    assert (
        first
        == parse("sources:\n  - id: a\n    kind: x\n    port: ${P}\n", P="80")
        .sources[0]
        .fingerprint
    )


def test_variables_come_from_the_environment():
    """Per scalar, after parsing; a port may be one."""
    text = "sources: [{id: a, kind: '${KIND:-file}', path: '${HOME}/x'}]\nmesh:\n  router:\n    http_port: ${PORT}\n"
    settings = parse(text, HOME="/home", PORT="99")
    assert (settings.sources[0].kind, settings.mesh.router.http_port) == ("file", 99)
    assert {"path": "/home/x"} == to_plain(settings.sources[0].options)


def test_all_faults_of_a_file_are_reported_together():
    """In the order of lines; what a missing variable would have said is not judged too."""
    assert messages("""
sources:
  - {id: a, kind: file}
  - {id: b c, kind: file, required: yes}
  - {id: a, kind: file}
  - x
rules:
  - {kind: file, source: z}
  - {kind: file}
  - {kind: file}
mesh: {connect_timeout: 5, domian: x, router: {http_port: 0}}
server: {xds: "${XDS}", http: "0.0.0.0:80"}
sync_timout: 3s
sync_timeout: 3
""") == [
        (
            "mesh.yaml:4:10: sources[1].id: 'b c' must be made of letters, digits, dots, hyphens and "
            "underscores"
        ),
        (
            "mesh.yaml:4:37: sources[1].required: must be true or false, not a text 'yes'; write true "
            "or false, without quotes"
        ),
        (
            "mesh.yaml:5:10: sources[2].id: the id a is taken by the source in line 3; give each its "
            "own id"
        ),
        "mesh.yaml:6:5: sources[3]: must be a mapping, not a text; write {id: …, kind: …}",
        (
            "mesh.yaml:10:5: rules[2]: the id file is taken by the rule source in line 9; give each "
            "its own id"
        ),
        (
            "mesh.yaml:11:25: mesh.connect_timeout: '5' is not a duration; write a number with a "
            "unit, such as 250ms, 1s or 1m30s"
        ),
        "mesh.yaml:11:28: mesh.domian: unknown key; did you mean domain?",
        "mesh.yaml:11:59: mesh.router.http_port: must be >= 1: 0",
        (
            "mesh.yaml:12:15: server.xds: the environment variable XDS is not set; set it, or write "
            "${XDS:-default}"
        ),
        "mesh.yaml:13:1: sync_timout: unknown key; did you mean sync_timeout?",
        (
            "mesh.yaml:14:15: sync_timeout: '3' is not a duration; write a number with a unit, such as "
            "250ms, 1s or 1m30s"
        ),
    ]


def test_a_rule_source_is_a_mapping_with_a_kind():
    """Faults of its keys are faults of the file."""
    assert messages("rules: [x, {source: [a]}]") == [
        "mesh.yaml:1:9: rules[0]: must be a mapping, not a text; write {kind: …}",
        "mesh.yaml:1:12: rules[1].kind: the key is missing; add kind:",
        "mesh.yaml:1:21: rules[1].source: must be a text, not a list; write one value",
    ]


def test_a_rule_source_names_a_source_that_is_there():
    """With a suggestion."""
    assert messages("sources: [{id: k8s, kind: x}]\nrules: [{kind: x, source: k9s}]") == [
        "mesh.yaml:2:27: rules[0].source: there is no source k9s; did you mean k8s?"
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "mesh.yaml:1: the settings are empty; the smallest useful one is"),
        ("[a]", "mesh.yaml:1:1: the settings must be a mapping, not a list;"),
        ("sources: x", "mesh.yaml:1:10: sources: must be a list, not a text; write -"),
        ("sources:\n", "mesh.yaml:1:9: sources: must be a list, not nothing"),
        ("mesh: x", "mesh.yaml:1:7: mesh: must be a mapping, not a text"),
        (
            "a: 1\n---\nb: 1",
            "mesh.yaml:3:1: a second document begins here; put all settings in one",
        ),
        ("a: [", "mesh.yaml:2:1: not YAML: did not find expected node content"),
        ("a: 1\na: 2", "mesh.yaml:2:1: a: the key a is given twice, first in line 1"),
        ("snapshots: x", "mesh.yaml:1:1: snapshots: unknown key"),
    ],
)
def test_a_file_that_is_no_settings_file(text, message):
    """Said in one line, with what to do."""
    (found,) = messages(text)
    assert found.startswith(message), found


def test_an_unreadable_file_is_named(tmp_path):
    """With the reason and the ways to name another."""
    with pytest.raises(
        ConfigError,
        match=r"none\.yaml: the settings cannot be read: No such file or directory; name a readable",
    ):
        Settings.load(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="Is a directory"):
        Settings.load(tmp_path)


def test_load_reads_a_file_and_its_folder_is_the_base(tmp_path, monkeypatch):
    """Also when the file is named by a relative path; the environment is the process's."""
    (tmp_path / "conf").mkdir()
    path = tmp_path / "conf" / "mesh.json"
    path.write_text('{"sources": [{"id": "${AN_ID}", "kind": "memory"}]}')
    monkeypatch.setenv("AN_ID", "x")
    monkeypatch.chdir(tmp_path)
    for settings in (Settings.load(path), Settings.load("conf/mesh.json")):
        assert settings.base_path == tmp_path / "conf"
        assert [source.id for source in settings.sources] == ["x"]
    path.write_bytes(b"sources: []\nmesh: \xff")
    with pytest.raises(ConfigError, match=r"mesh\.json:2: the byte 0xff is not UTF-8"):
        Settings.load(path)


def test_which_file(tmp_path):
    """The one named, else that of the environment, else ./mesh.yaml."""
    for name in ("a.yaml", "b.yaml", "mesh.yaml"):
        (tmp_path / name).touch()
    environ = {"MESHREGISTRY_CONFIG": str(tmp_path / "b.yaml")}

    def find(explicit, environ):
        return Settings.find(explicit, environ=environ, cwd=tmp_path).name

    assert ["a.yaml", "b.yaml", "mesh.yaml"] == [
        find("a.yaml", environ),
        find(None, environ),
        find(None, {}),
    ]


@pytest.mark.parametrize(
    ("explicit", "environ", "message"),
    [
        ("x.yaml", {}, r"^x\.yaml: there is no such settings file \(-c\); make it"),
        (None, {"MESHREGISTRY_CONFIG": "y"}, r"^y: there is no such .* \(\$MESHREGISTRY_CONFIG\)"),
        (None, {}, r"^\./mesh\.yaml: there is no such settings file \(default\)"),
    ],
)
def test_a_file_that_is_not_there_is_named_with_who_named_it(tmp_path, explicit, environ, message):
    """So that the user knows which of the three ways to correct."""
    with pytest.raises(ConfigError, match=message):
        Settings.find(explicit, environ=environ, cwd=tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.yaml", EXAMPLE, True),
        ("a.json", '{"sources": []}', True),
        ("a.yaml", "sources: [\n", True),
        ("a.yaml", "services: []", False),
        ("mesh.yaml", "services: []", False),
        ("a.yaml", "kind: ServiceEntry", False),
        ("a.yaml", "services: [", False),
        ("a.yaml", "", False),
        ("mesh.yaml", "", True),
        ("mesh.yaml", "suorces: [", True),
    ],
)
def test_settings_are_told_from_service_documents(tmp_path, name, text, expected):
    """By their keys, also when they cannot be parsed; else by the file's name."""
    path = tmp_path / name
    path.write_text(text)
    assert expected == Settings.is_settings(path)


def test_an_unreadable_file_is_judged_by_its_name(tmp_path):
    """Whoever reads it next says what is wrong."""
    assert Settings.is_settings(tmp_path / "mesh.yaml")
    (tmp_path / "a.yaml").write_bytes(b"\xff")
    assert not Settings.is_settings(tmp_path / "a.yaml")


def test_the_schema_describes_the_file():
    """Every section, strictly; the options of a source are left to its kind."""
    schema = json.loads(json.dumps(Settings.schema()))
    properties = schema["properties"]
    assert set(properties) == {
        "sources",
        "rules",
        "identity",
        "merge",
        "mesh",
        "server",
        "sync_timeout",
        "snapshot",
    }
    assert schema["additionalProperties"] is False
    assert properties["sources"]["items"]["required"] == ["id", "kind"]
    assert properties["sources"]["items"]["additionalProperties"] is True
    assert properties["mesh"]["properties"]["connect_timeout"]["default"] == "1s"
    assert properties["server"]["properties"]["xds"]["default"] == "127.0.0.1:15010"
    assert properties["server"]["additionalProperties"] is False


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        (", guard: null", None),
        (", guard: off", (False, 60.0, 0.5, 10, 600.0)),
        (", guard: false", (False, 60.0, 0.5, 10, 600.0)),
        (", guard: on", (True, 60.0, 0.5, 10, 600.0)),
        (", guard: true", (True, 60.0, 0.5, 10, 600.0)),
        (
            ", guard: {window: 5s, share: 0.8, at_least: 3, confirm_after: null}",
            (True, 5.0, 0.8, 3, None),
        ),
    ],
)
def test_a_guard_is_a_word_or_a_mapping(text, expected):
    """And without one the kind decides."""
    (source,) = parse(f"sources: [{{id: a, kind: memory{text}}}]").sources
    guard = source.guard
    assert expected == (
        guard and (guard.enabled, guard.window, guard.share, guard.at_least, guard.confirm_after)
    )
    assert "guard" not in source.options


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("guard: maybe", "sources[0].guard: must be a mapping"),
        ("guard: {share: 2}", "sources[0].guard.share: "),
        ("guard: {at_least: 0}", "sources[0].guard.at_least: "),
        ("guard: {window: 0s}", "sources[0].guard.window: "),
        ("guard: {windows: 1s}", "sources[0].guard.windows: unknown key"),
    ],
)
def test_a_wrong_guard_has_its_place(text, reason):
    """As every other mistake."""
    (message,) = messages(f"sources: [{{id: a, kind: memory, {text}}}]")
    assert message.startswith("mesh.yaml:1:")
    assert reason in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sources: []", None),
        ("snapshot: null", None),
        ("snapshot: kept/", ("/base/kept", 86400.0, 10.0)),
        ("snapshot: /kept", ("/kept", 86400.0, 10.0)),
        (
            "snapshot: {path: kept, max_age: null, interval: 1s}",
            ("/base/kept", None, 1.0),
        ),
    ],
)
def test_a_snapshot_is_a_folder_or_a_mapping(text, expected):
    """Relative to the settings' own folder."""
    found = parse(text).snapshot
    assert expected == (found and (str(found.path), found.max_age, found.interval))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("snapshot: [a]", "snapshot: must be a mapping"),
        ("snapshot: {max_age: 1h}", "snapshot.path"),
        ("snapshot: {path: a, interval: 0s}", "snapshot.interval: "),
    ],
)
def test_a_wrong_snapshot_has_its_place(text, reason):
    """As every other mistake."""
    (message,) = messages(text)
    assert reason in message
