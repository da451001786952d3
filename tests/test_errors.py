"""The exception tree: who is at fault, and what a message says."""

from __future__ import annotations

import inspect

import pytest

from meshregistry import errors
from meshregistry.errors import (
    AdsError,
    ConfigError,
    GenerationError,
    InconsistentResources,
    LocalAdsError,
    MeshRegistryError,
    MissingExtraError,
    PluginConflictError,
    PluginError,
    PluginLoadError,
    RecordError,
    RegistryAuthError,
    RegistryError,
    RegistryProtocolError,
    RegistryUnavailable,
    Rejected,
    RemoteAdsError,
    UnknownKindError,
)

PREFIX = "type.googleapis.com/envoy.config."


def test_every_error_belongs_to_one_tree():
    """One except clause catches whatever the library raises on purpose."""
    classes = [getattr(errors, name) for name in errors.__all__]
    assert [] == [one for one in classes if not issubclass(one, MeshRegistryError)]
    assert sorted(errors.__all__) == list(errors.__all__)


@pytest.mark.parametrize(
    ("parent", "children"),
    [
        (ConfigError, {UnknownKindError}),
        (PluginError, {PluginLoadError, PluginConflictError}),
        (
            RegistryError,
            {RegistryUnavailable, RegistryAuthError, RegistryProtocolError, RecordError},
        ),
        (GenerationError, {InconsistentResources}),
        (AdsError, {LocalAdsError, RemoteAdsError}),
        (ImportError, {MissingExtraError}),
    ],
)
def test_the_tree_is_split_by_who_is_at_fault(parent, children):
    """Each branch has its documented children (architecture, section 9)."""
    found = {
        one
        for _, one in inspect.getmembers(errors, inspect.isclass)
        if issubclass(one, parent) and one is not parent
    }
    assert children == found


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ({}, "it is wrong"),
        ({"remedy": "mend it"}, "it is wrong; mend it"),
        ({"file": "mesh.yaml"}, "mesh.yaml: it is wrong"),
        ({"field": "sources[1].id"}, "sources[1].id: it is wrong"),
        ({"line": 3}, "line 3: it is wrong"),
        ({"line": 3, "column": 5}, "line 3:5: it is wrong"),
        ({"file": "mesh.yaml", "line": 3}, "mesh.yaml:3: it is wrong"),
        (
            {"file": "mesh.yaml", "line": 3, "column": 5, "field": "a", "remedy": "mend it"},
            "mesh.yaml:3:5: a: it is wrong; mend it",
        ),
    ],
)
def test_a_config_error_says_where_what_and_the_remedy(words, text):
    """The message has place, field, reason and remedy, as far as they are known."""
    error = ConfigError("it is wrong", **words)
    assert text == str(error) == error.message
    assert (error,) == error.faults


def test_faults_are_reported_together():
    """Joined faults print one line each, in order, however they were nested."""
    first, second, third = (ConfigError(word) for word in ("one", "two", "three"))
    joined = ConfigError.joined([first, ConfigError("two and a half", also=[third]), second])
    assert ["one", "two and a half", "three", "two"] == [fault.reason for fault in joined.faults]
    assert "one\ntwo and a half\nthree\ntwo" == str(joined)


def test_one_fault_joined_is_itself():
    """A single fault needs no wrapping, and none is no error at all."""
    error = ConfigError("one")
    assert error is ConfigError.joined([error])
    with pytest.raises(ValueError, match="no faults"):
        ConfigError.joined([])


def test_an_unknown_kind_carries_what_to_type():
    """The kind and the install line are fields, for programs; the remedy is for people."""
    error = UnknownKindError(
        "no plugin provides it",
        kind="consul",
        install="pip install 'meshregistry[consul]'",
        file="mesh.yaml",
        line=2,
        remedy="type: pip install 'meshregistry[consul]'",
    )
    assert ("consul", "pip install 'meshregistry[consul]'") == (error.kind, error.install)
    assert "mesh.yaml:2: no plugin provides it; type: pip install 'meshregistry[consul]'" == str(
        error
    )


def test_a_missing_extra_is_an_import_error_with_the_line_to_type():
    """Who catches ImportError catches it, and reads what to install."""
    error = MissingExtraError("server", "grpc")
    assert ("server", "grpc") == (error.extra, error.missing)
    assert "pip install 'meshregistry[server]'" in str(error)


def test_errors_carry_what_they_are_about():
    """Programs read plugin, source, key, type, name, status and version from fields."""
    assert "consul" == PluginLoadError("broken", plugin="consul").plugin
    assert RegistryUnavailable("down").source is None
    assert "dc1" == RegistryUnavailable("down", source="dc1").source
    record = RecordError("bad", key="web", source="dc1")
    assert ("web", "dc1") == (record.key, record.source)
    assert RecordError("bad").key is None
    generation = GenerationError("bad", type_url="t", name="n")
    assert ("t", "n") == (generation.type_url, generation.name)
    refused = Rejected("no", node="edge", type_url="t", version="7")
    assert ("edge", "t", "7") == (refused.node, refused.type_url, refused.version)


def test_a_peers_fault_has_a_status():
    """A stream is closed with INVALID_ARGUMENT unless another status says it better."""
    assert "INVALID_ARGUMENT" == RemoteAdsError("nonsense").status
    assert "UNAVAILABLE" == RemoteAdsError("later", status="UNAVAILABLE").status
    assert "misuse" == str(LocalAdsError("misuse"))


def test_an_ads_error_must_say_who_is_at_fault():
    """The parent of the two is never raised itself."""
    with pytest.raises(TypeError, match="who is at fault"):
        AdsError("something")


def test_dangling_references_are_listed():
    """The message names types shortly, and all references are kept as data."""
    dangling = [
        (PREFIX + "listener.v3.Listener", "in", PREFIX + "cluster.v3.Cluster", "out"),
        ("a", "b", "c", "d"),
    ]
    error = InconsistentResources(dangling)
    assert tuple(dangling) == error.dangling
    assert "Listener 'in' needs Cluster 'out', a 'b' needs c 'd'; add" in str(error)


def test_many_dangling_references_are_counted():
    """More than five are told as a number, so that the message stays readable."""
    error = InconsistentResources([("a", str(number), "c", "d") for number in range(8)])
    assert "a '4' needs c 'd' and 3 more;" in str(error)


def test_a_short_type_without_a_dot_is_named_whole():
    """A type URL that ends in a dot has no short name and is shown as it is."""
    assert "x. 'b' needs c 'd'" in str(InconsistentResources([("x.", "b", "c", "d")]))


def test_the_message_of_a_plugin_error_survives_being_raised():
    """Causes are chained, so that reports can show them."""
    with pytest.raises(PluginLoadError) as caught:
        raise PluginLoadError("it broke", plugin="a") from ValueError("why")
    assert isinstance(caught.value.__cause__, ValueError)
