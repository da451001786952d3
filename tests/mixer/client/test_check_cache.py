"""The check cache: whose answer serves whom, and for how long."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshregistry.mixer import AttributeBag
from meshregistry.mixer._shapes import Reference, Shape, ShapeList
from meshregistry.mixer.client._check_cache import CheckCache, SharedCheckCache, read_answer
from meshregistry.mixer.proto.mixer_v1_pb2 import CheckResponse


@pytest.fixture
def learn(answer):
    """Teach a cache the answer to a bag: ``learn(cache, values, *exact, ...)``."""

    def teach(cache, values, *exact, now=0.0, **said):
        bag = AttributeBag(values)
        found = read_answer(answer(*exact, **said), bag, now)
        cache.put(found, bag.entries, now)
        return found

    return teach


def ask(cache, values, now=0.0):
    """The status code that a cache gives, or None."""
    found = cache.get(AttributeBag(values).entries, now)
    return None if found is None else found.result.status.code


def test_an_answer_serves_requests_that_are_alike_in_what_it_refers_to(learn):
    """Other attributes may differ; a different or absent referenced one is another question."""
    cache = CheckCache(10)
    learn(cache, {"a": "1", "b": "x"}, "a", code=7)
    assert (7, 7) == (ask(cache, {"a": "1", "b": "y"}), ask(cache, {"a": "1"}))
    assert (None, None) == (ask(cache, {"a": "2", "b": "x"}), ask(cache, {"b": "x"}))
    assert (0, 2) == (cache.accepts, cache.denies)


def test_an_answer_may_refer_to_keys_of_maps(learn):
    """Only those keys count; a request without the map or the key does not fit."""
    cache = CheckCache(10)
    learn(cache, {"h": {"x": "1", "y": "2"}, "p": "/"}, "h|x", "h|y", "p")
    assert 0 == ask(cache, {"h": {"x": "1", "y": "2", "z": "3"}, "p": "/"})
    for other in (
        {"h": {"x": "1", "y": "3"}, "p": "/"},
        {"h": {"x": "1"}, "p": "/"},
        {"p": "/"},
        {"h": "text", "p": "/"},
    ):
        assert ask(cache, other) is None


def test_an_answer_may_depend_on_absence(learn):
    """A request that has what was absent does not fit; an absent map has none of its keys."""
    cache = CheckCache(10)
    learn(cache, {"h": {"x": "1"}}, absent=("a", "h|k"), code=5)
    assert (5, 5) == (ask(cache, {"h": {"z": "1"}}), ask(cache, {}))
    assert ask(cache, {"a": "1"}) is None
    assert ask(cache, {"h": {"k": ""}}) is None
    assert ask(cache, {"h": "no map"}) is None


def test_key_zero_of_a_map_is_the_whole_map(learn):
    """0 means no key as well as `source.ip`; comparing everything is right for both (quirk 1)."""
    cache = CheckCache(10)
    learn(cache, {"h": {"source.ip": "1", "x": "2"}}, "h")
    assert 0 == ask(cache, {"h": {"x": "2", "source.ip": "1"}})
    assert ask(cache, {"h": {"source.ip": "1", "x": "3"}}) is None
    assert ask(cache, {"h": {"source.ip": "1"}}) is None


def test_absence_of_key_zero_is_absence_of_the_map(learn):
    """A request that has the map does not fit, so the answer serves nobody else."""
    cache = CheckCache(10)
    found = learn(cache, {"h": {"x": "2"}}, absent=("h",))
    assert (None, 0) == (found.shape, len(cache))


@pytest.mark.parametrize(
    "said",
    [
        {"regex": ("a",)},
        {"exact": ("missing",)},
        {"absent": ("a",)},
    ],
)
def test_an_answer_that_cannot_be_compared_is_not_kept(answer, said):
    """Regular expressions, and references that the request itself does not fit."""
    cache = CheckCache(10)
    bag = AttributeBag({"a": "1"})
    exact = said.pop("exact", ())
    found = read_answer(answer(*exact, **said), bag, 0.0)
    cache.put(found, bag.entries, 0.0)
    assert (0, False) == (len(cache), found.serve(bag.entries, 0.0))


def test_an_answer_with_unknown_words_is_not_kept(answer):
    """An index of no word could mean anything."""
    response = answer("a", "h|k")
    bag = AttributeBag({"a": "1", "h": {"k": "v"}})
    for name, key in ((-50, 0), (1, -50)):
        broken = CheckResponse()
        broken.CopyFrom(response)
        matches = broken.precondition.referenced_attributes.attribute_matches
        matches[1].name = name if key == 0 else matches[1].name
        matches[1].map_key = key or matches[1].map_key
        assert read_answer(broken, bag, 0.0).shape is None


@pytest.mark.parametrize(("uses", "served"), [(0, 0), (1, 1), (3, 3), (-1, 5)])
def test_an_answer_has_so_many_uses(learn, uses, served):
    """0 serves nobody else, below 0 there is no end (quirk 5)."""
    cache = CheckCache(10)
    learn(cache, {"a": "1"}, "a", uses=uses)
    assert served == sum(ask(cache, {"a": "1"}) == 0 for _ in range(5))


@pytest.mark.parametrize(("seconds", "last"), [(10, 10.0), (None, 1e9), (0, 0.0)])
def test_an_answer_holds_for_its_duration(learn, seconds, last):
    """Without a duration it never ends (quirk 5)."""
    cache = CheckCache(10)
    learn(cache, {"a": "1"}, "a", seconds=seconds, now=0.0)
    assert 0 == ask(cache, {"a": "1"}, now=last)
    if seconds is not None:
        assert ask(cache, {"a": "1"}, now=last + 0.1) is None
        assert 0 == len(cache)


def test_a_duration_that_cannot_be_read_is_not_relied_on(answer):
    """Seconds and nanoseconds of two signs are no duration."""
    response = answer("a", seconds=1)
    response.precondition.valid_duration.nanos = -1
    assert not read_answer(response, AttributeBag({"a": "1"}), 0.0).is_valid(0.0)


def test_an_expired_answer_does_not_hide_one_of_another_shape(learn):
    """Every known shape is tried before a server is asked."""
    cache = CheckCache(10)
    learn(cache, {"a": "1", "b": "2"}, "a", code=7)
    learn(cache, {"a": "1", "b": "2"}, "b", code=5, seconds=1)
    assert 5 == ask(cache, {"a": "1", "b": "2"}, now=0.5)
    assert 7 == ask(cache, {"a": "1", "b": "2"}, now=2.0)


def test_a_newer_answer_replaces_an_older_one(learn):
    """For the same shape and signature."""
    cache = CheckCache(10)
    learn(cache, {"a": "1"}, "a", code=7)
    learn(cache, {"a": "1"}, "a", code=0)
    assert (0, 1) == (ask(cache, {"a": "1"}), len(cache))


def test_the_least_recently_used_answer_goes_first(learn):
    """The cache never holds more than its size."""
    cache = CheckCache(2)
    learn(cache, {"a": "1"}, "a")
    learn(cache, {"a": "2"}, "a")
    ask(cache, {"a": "1"})
    learn(cache, {"a": "3"}, "a")
    assert (0, None, 0) == tuple(ask(cache, {"a": each}) for each in "123")
    assert 2 == len(cache)


def test_a_cache_of_size_zero_keeps_nothing(learn):
    """It can be switched off."""
    cache = CheckCache(0)
    learn(cache, {"a": "1"}, "a")
    assert (None, 0) == (ask(cache, {"a": "1"}), len(cache))


@pytest.mark.parametrize("first", [1, "x"])
def test_types_are_told_apart(learn, first):
    """Python finds 1, 1.0 and True equal; the answer to one is not that to the others."""
    cache = CheckCache(10)
    learn(cache, {"a": first}, "a", code=3)
    learn(cache, {"a": True}, "a", code=7)
    assert ask(cache, {"a": 1.0}) is None
    assert 7 == ask(cache, {"a": True})
    if first == "x":
        assert ask(cache, {"a": 1}) is None
    learn(cache, {"a": 1}, "a", code=4)
    assert (4, 7) == (ask(cache, {"a": 1}), ask(cache, {"a": True}))


def test_an_internal_error_is_forgiven_to_those_who_fail_open(learn):
    """The status INTERNAL of a server means allowed to them, and is denied to others."""
    found = learn(CheckCache(1), {}, code=13, message="adapter")
    assert (False, True) == (found.result.is_allowed, found.open_result.is_allowed)
    other = learn(CheckCache(1), {}, code=7)
    assert (False, False) == (other.result.is_allowed, other.open_result.is_allowed)


def test_a_response_without_a_precondition_is_an_invalid_argument():
    """It denies, and is not kept."""
    found = read_answer(CheckResponse(), AttributeBag(), 0.0)
    assert (3, False) == (found.result.status.code, found.serve({}, 0.0))


def test_shapes_without_end_do_not_fill_memory():
    """The least useful shape is forgotten."""
    shapes = ShapeList(most=2)
    made = [Shape((), [Reference(name)]) for name in "abc"]
    assert made == [shapes.known(each) for each in made]
    assert made[:0:-1] == shapes.ordered
    shapes.used(made[1])
    assert [made[1], made[2]] == shapes.ordered
    assert made[1] is shapes.known(Shape((), [Reference("b")]))


def test_a_cache_for_threads_gives_the_same(learn):
    """Its methods are those of the other one, under a lock."""
    cache = SharedCheckCache(10)
    found = learn(cache, {"a": "1"}, "a", code=7)
    assert (True, False) == tuple(cache.take(found, {"a": each}, 0.0) for each in "12")
    assert (7, 2) == (ask(cache, {"a": "1"}), cache.denies)
    assert cache.question({"a": "1"}) == cache.question({"a": "1", "b": "2"})


VALUES = st.sampled_from(["x", "y", 1, 1.0, True, 0, False, b"x"])
NAMES = st.sampled_from("abc")
MAPS = st.dictionaries(NAMES, st.sampled_from(["1", "2"]), max_size=2)
BAGS = st.dictionaries(NAMES, VALUES, max_size=3).flatmap(
    lambda plain: MAPS.map(lambda held: AttributeBag({**plain, "m": held} if held else plain))
)


def reads(bag, names, keys):
    """What a server that reads these attributes sees; its answer follows from that alone."""
    seen = []
    for name in sorted(names):
        value = bag.get(name)
        seen.append((name, type(value).__name__, value))
    for key in sorted(keys):
        held = bag.get("m")
        seen.append(("m", key, None if held is None else held.get(key)))
    return tuple(seen)


@given(st.lists(BAGS, max_size=12), st.frozensets(NAMES), st.frozensets(NAMES))
def test_a_cached_answer_is_what_the_server_would_have_said(bags, names, keys):
    """For any requests, and a server whose answers depend on any attributes and map keys."""
    from hypothesis import assume  # noqa: PLC0415 - used here only

    assume(names or keys)
    cache = CheckCache(100)
    codes = {}
    for bag in bags:
        seen = reads(bag, names, keys)
        truth = codes.setdefault(seen, len(codes))
        found = cache.get(bag.entries, 0.0)
        if found is not None:
            assert truth == found.result.status.code
            continue
        exact = [name for name in names if name in bag]
        absent = [name for name in names if name not in bag]
        held = bag.get("m")
        if keys and held is None:
            absent.append("m")
        elif keys:
            exact += [f"m|{key}" for key in keys if key in held]
            absent += [f"m|{key}" for key in keys if key not in held]
        response = _respond(exact, absent, truth)
        answer = read_answer(response, bag, 0.0)
        assert answer.shape is not None
        assert math.inf == answer.expiry
        cache.put(answer, bag.entries, 0.0)


def _respond(exact, absent, code):
    response = CheckResponse()
    said = response.precondition
    said.status.code, said.valid_use_count = code, -1
    refs = said.referenced_attributes
    for condition, references in ((2, exact), (1, absent)):
        for reference in references:
            name, _, key = reference.partition("|")
            refs.words.append(name)
            match = refs.attribute_matches.add(condition=condition, name=-len(refs.words))
            if key:
                refs.words.append(key)
                match.map_key = -len(refs.words)
    return response
