"""Manifests, and the vocabulary that is the standard one."""

from __future__ import annotations

import pytest

from meshregistry.mixer import GLOBAL_WORDS, Attribute, Manifest, ValueType, When, vocabulary
from meshregistry.mixer.vocabulary import STANDARD


def test_every_constant_is_declared_and_every_attribute_a_constant():
    """The constants of the module are the names of the manifest."""
    constants = {
        value
        for name, value in vars(vocabulary).items()
        if name.isupper() and isinstance(value, str)
    }
    assert set(STANDARD) == constants
    assert vocabulary.SOURCE_SERVICE_ACCOUNT == "source.serviceAccount"


def test_every_attribute_has_a_meaning_and_a_type_of_its_own():
    """Types are those of the vocabulary's table, tried on one of each."""
    assert [] == [name for name, attribute in STANDARD.items() if not attribute.meaning]
    expected = {
        "source.uid": ValueType.STRING,
        "request.size": ValueType.INT64,
        "connection.mtls": ValueType.BOOL,
        "request.time": ValueType.TIMESTAMP,
        "source.ip": ValueType.IP_ADDRESS,
        "response.duration": ValueType.DURATION,
        "request.headers": ValueType.STRING_MAP,
    }
    assert expected == {name: STANDARD[name].type for name in expected}
    assert {When.CHECK} == STANDARD["request.path"].when
    assert set() == STANDARD["request.id"].when


def test_the_words_of_the_wire_that_name_attributes_are_declared():
    """Every word of the global list that looks like an attribute is one, or is of old."""
    prefixes = ("source.", "destination.", "request.", "response.", "connection.", "context.")
    prefixes += ("origin.", "api.", "check.", "quota.", "rbac.")
    named = {word for word in GLOBAL_WORDS if word.startswith(prefixes)}
    assert set() == named - set(STANDARD)


def test_a_bag_of_the_manifest_converts_what_was_declared():
    """Addresses may be text, and a whole number is a double as well."""
    manifest = STANDARD.extended({"weight": ValueType.DOUBLE})
    bag = manifest.bag({"source.ip": "10.0.0.1", "weight": 2, "destination.ip": b"\x7f\0\0\1"})
    assert (b"\x0a\0\0\x01", float) == (bag["source.ip"], type(bag["weight"]))


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ({"request.pth": "/"}, ValueError, "is not declared; did you mean 'request.path'? Else"),
        ({"zzz": "/"}, ValueError, "'zzz' is not declared; declare it with manifest.extended()"),
        ({"request.size": "3"}, TypeError, "declared as INT64: give a value of the type int, not"),
        ({"request.size": True}, TypeError, "give a value of the type int, not bool"),
        ({"request.path": b"/"}, TypeError, "declared as STRING"),
        ({"source.ip": "nowhere"}, ValueError, "'source.ip': 'nowhere' does not appear"),
        ({"source.ip": b"123"}, ValueError, "an IP address: 4 or 16 bytes, not 3"),
        ({"source.ip": 7}, TypeError, "declared as IP_ADDRESS"),
    ],
)
def test_what_is_not_as_declared_is_refused(values, error, words):
    """A misspelt name would else be an attribute that no rule ever matches."""
    with pytest.raises(error) as caught:
        STANDARD.bag(values)
    assert words in str(caught.value)


def test_a_later_declaration_holds():
    """Extending a manifest replaces what it declares again."""
    manifest = Manifest.of([Attribute("a", ValueType.STRING)]).extended({"a": ValueType.INT64})
    assert (1, ValueType.INT64) == (len(manifest), manifest["a"].type)
