"""Names: host names, service keys, labels and selectors."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshregistry.model import Hostname, Labels, Selector, ServiceKey

LETTERS = string.ascii_lowercase + string.digits + "_"
dns_labels = st.text(LETTERS, min_size=1, max_size=8)
hosts = st.lists(dns_labels, min_size=1, max_size=4).map(".".join)
pairs = st.dictionaries(st.sampled_from("abcdef"), st.text("xyz=,", max_size=3), max_size=5)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("reviews.shop", "reviews.shop"),
        ("Reviews.SHOP", "reviews.shop"),
        ("reviews.shop.", "reviews.shop"),
        ("*.example.com", "*.example.com"),
        ("*", "*"),
        ("_http._tcp.a-b.c", "_http._tcp.a-b.c"),
        ("a" * 63, "a" * 63),
        (".".join(["a" * 61] * 4) + ".bcdef", ".".join(["a" * 61] * 4) + ".bcdef"),
    ],
)
def test_a_host_name_is_normalised(text, name):
    """A host name is lower case, without the final dot, and a wildcard may come first."""
    assert name == Hostname.parse(text)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "1 to 253"),
        (".", "1 to 253"),
        ("a." * 127 + "a", "1 to 253"),
        ("a" * 64, "at most 63"),
        ("a..b", "the label ''"),
        ("-a.b", "the label '-a'"),
        ("a-.b", "the label 'a-'"),
        ("a.*", r"the label '\*'"),
        ("*a.b", r"the label '\*a'"),
        ("a b", "the label 'a b'"),
        ("a.b\n", "the label"),
        ("ünï.de", "the label"),
    ],
)
def test_what_is_no_host_name_is_refused(text, part):
    """A text that is no host name is a ValueError that names the label at fault."""
    with pytest.raises(ValueError, match=part):
        Hostname(text)


def test_the_longest_host_name_has_253_characters():
    """253 characters are a host name, 254 are not."""
    longest = ".".join(["a" * 62] * 4) + ".b"
    assert len(longest) == 253
    assert longest == Hostname(longest)
    with pytest.raises(ValueError, match="253"):
        Hostname(longest + "c")


def test_a_host_name_is_a_text():
    """A Hostname prints, compares and hashes as the str that it is."""
    host = Hostname("a.b")
    assert "a.b" == str(host) == f"{host}"
    assert {"a.b": 1}[host] == 1
    assert host is Hostname(host)


def test_a_wildcard_knows_that_it_is_one():
    """Only a host name whose first label is a star is a wildcard."""
    assert Hostname("*.b").is_wildcard
    assert not Hostname("a.b").is_wildcard


@settings(max_examples=40)
@given(hosts)
def test_parsing_a_host_name_twice_changes_nothing(text):
    """Normalising is idempotent."""
    once = Hostname(text.upper())
    assert once == Hostname(str(once)) == text


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("shop/reviews.shop", ServiceKey("shop", Hostname("reviews.shop"))),
        ("reviews.shop", ServiceKey("", Hostname("reviews.shop"))),
    ],
)
def test_a_service_key_reads_what_it_prints(text, key):
    """The text form of a service key is namespace/host, and parses back."""
    assert key == ServiceKey.parse(text)
    assert text == str(key)


def test_service_keys_are_ordered_by_namespace_then_host():
    """The canonical order of service keys is that of their two parts."""
    keys = [ServiceKey.parse(text) for text in ("b/a", "a/b", "a/a", "z")]
    assert ["z", "a/a", "a/b", "b/a"] == [str(key) for key in sorted(keys)]


def test_a_service_key_checks_its_host():
    """A service key is never built on something that is not a host name."""
    with pytest.raises(ValueError, match="not a host name"):
        ServiceKey("shop", "a b")


@settings(max_examples=40)
@given(pairs)
def test_labels_are_the_mapping_that_they_were_made_from(mapping):
    """Labels have the keys and values of their source, sorted by key."""
    labels = Labels(mapping)
    assert mapping == dict(labels)
    assert sorted(mapping) == list(labels)
    assert len(mapping) == len(labels)


@settings(max_examples=40)
@given(pairs)
def test_equal_labels_hash_alike_whatever_the_order(mapping):
    """The order in which labels were given never matters."""
    backwards = Labels(dict(reversed(mapping.items())))
    assert Labels(mapping) == backwards
    assert hash(Labels(mapping)) == hash(backwards)


def test_labels_read_what_they_print():
    """The text form of labels is key=value, sorted; a bare key has an empty value."""
    labels = Labels({"version": "v1", "app": "reviews", "canary": ""})
    assert "app=reviews,canary=,version=v1" == str(labels)
    assert labels == Labels.parse(str(labels)) == Labels.parse("version=v1,app=reviews,canary")
    assert Labels() == Labels.parse("")
    assert "Labels(app=reviews,canary=,version=v1)" == repr(labels)


def test_a_label_that_is_absent_is_a_key_error():
    """Labels behave as a mapping for keys that they do not have."""
    labels = Labels({"a": "1"})
    assert labels["a"] == "1"
    assert labels.get("b") is None
    with pytest.raises(KeyError):
        labels["b"]


def test_labels_differ_from_a_plain_mapping():
    """Labels equal labels only; a dict is another type."""
    assert Labels({"a": "1"}) != {"a": "1"}


@settings(max_examples=40)
@given(pairs, pairs)
def test_a_selector_matches_what_holds_all_its_pairs(wanted, have):
    """A selector is a subset test on pairs; the empty one matches everything."""
    assert (wanted.items() <= have.items()) == Selector(wanted).is_match(have)
    assert Selector().is_match(have)
    assert Selector(None) == Selector()
