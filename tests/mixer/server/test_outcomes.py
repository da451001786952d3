"""Outcomes are kept by exactly what they were made of."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meshregistry.mixer import AttributeBag, Compressor
from meshregistry.mixer._received import ReceivedAttributes
from meshregistry.mixer.expressions import Reference
from meshregistry.mixer.server._outcome import CheckOutcome
from meshregistry.mixer.server._outcomes import Kept, OutcomeCache
from meshregistry.mixer.spi import OK, Code, Status


def outcome(*references, duration=10.0, uses=5, status=OK):
    """An outcome made of these: ``a``, ``!a``, ``m[k]``."""
    made = []
    for text in references:
        name, _, key = text.removeprefix("!").rstrip("]").partition("[")
        made.append(Reference(name, key or None, not text.startswith("!")))
    return CheckOutcome(
        status=status, valid_duration=duration, valid_use_count=uses, references=tuple(made)
    )


def bag(**values):
    """Attributes."""
    return AttributeBag(values)


class TestOutcomeCache:
    """Who agrees on all that was read gets the outcome."""

    def test_what_was_not_read_does_not_count(self):
        """And what was read does, absence and entries of maps included."""
        cache = OutcomeCache()
        one = outcome("a", "!b", "m[k]", "!m[l]")
        cache.put(one, bag(a="1", m={"k": "v"}), 0.0)
        assert cache.get(bag(a="1", m={"k": "v"}, c="x"), 0.0).outcome == one
        assert cache.get(bag(a="2", m={"k": "v"}), 0.0) is None
        assert cache.get(bag(a="1", b="1", m={"k": "v"}), 0.0) is None
        assert cache.get(bag(a="1", m={"k": "w"}), 0.0) is None
        assert cache.get(bag(a="1", m={"k": "v", "l": ""}), 0.0) is None
        assert (cache.hits, cache.misses, cache.writes) == (1, 4, 1)

    def test_a_map_without_an_entry_is_not_one_that_is_not_there(self):
        """Such an entry reads as empty, and of a map that is not there as an error."""
        cache = OutcomeCache()
        one = outcome("!m[k]")
        cache.put(one, bag(m={}), 0.0)
        assert cache.get(bag(m={"l": "v"}), 0.0).outcome == one
        for other in (bag(), bag(m="text")):
            assert cache.get(other, 0.0) is None
            assert cache.get(ReceivedAttributes(Compressor().attributes(other)), 0.0) is None

    def test_a_map_as_a_whole(self):
        """Every entry counts then."""
        cache = OutcomeCache()
        cache.put(outcome("m"), bag(m={"k": "v"}), 0.0)
        assert cache.get(bag(m={"k": "v"}), 0.0) is not None
        assert cache.get(bag(m={"k": "v", "l": "w"}), 0.0) is None

    def test_each_under_its_own_shape(self):
        """An outcome made of more is never found by one made of less."""
        cache = OutcomeCache()
        cache.put(outcome("a"), bag(a="1"), 0.0)
        denied = outcome("a", "b", status=Status(Code.PERMISSION_DENIED))
        cache.put(denied, bag(a="2", b="1"), 0.0)
        assert cache.get(bag(a="2", b="1"), 0.0).outcome == denied
        assert cache.get(bag(a="2", b="2"), 0.0) is None

    def test_what_is_left_of_the_duration(self):
        """Uses are not counted here."""
        cache = OutcomeCache()
        one = outcome("a", duration=10.0, uses=1)
        cache.put(one, bag(a="1"), 100.0)
        for _ in range(3):
            assert cache.get(bag(a="1"), 104.0) == Kept(one, 110.0)
        assert cache.get(bag(a="1"), 110.0) is None
        assert len(cache) == 0

    def test_what_holds_for_nobody_else_is_not_kept(self):
        """Without duration, or without uses; or if there is no cache."""
        cache = OutcomeCache()
        cache.put(outcome("a", duration=0.0), bag(a="1"), 0.0)
        cache.put(outcome("a", uses=0), bag(a="1"), 0.0)
        none = OutcomeCache(0)
        none.put(outcome("a"), bag(a="1"), 0.0)
        assert (len(cache), len(none)) == (0, 0)

    def test_the_least_recently_used_goes(self):
        """At the bound."""
        cache = OutcomeCache(2)
        for value in ("1", "2"):
            cache.put(outcome("a"), bag(a=value), 0.0)
        cache.get(bag(a="1"), 0.0)
        cache.put(outcome("a"), bag(a="3"), 0.0)
        assert cache.get(bag(a="2"), 0.0) is None
        assert cache.get(bag(a="1"), 0.0) is not None
        assert cache.evictions == 1

    @given(
        st.lists(
            st.tuples(
                st.dictionaries(st.sampled_from("abc"), st.sampled_from(["1", "2"])),
                st.sets(st.sampled_from("abc"), min_size=1),
            ),
            max_size=12,
        )
    )
    def test_never_a_wrong_outcome(self, requests):
        """An outcome is a function of what it was made of; so is what the cache gives."""
        cache = OutcomeCache()

        def said(values, names):
            return "".join(f"{name}={values.get(name)};" for name in sorted(names))

        for values, read in requests:
            held = bag(**values)
            found = cache.get(held, 0.0)
            if found is not None:
                names = {one.name for one in found.outcome.references}
                assert found.outcome.status.message == said(values, names)
            else:
                status = Status(Code.ABORTED, said(values, read))
                names = [name if name in values else f"!{name}" for name in sorted(read)]
                cache.put(outcome(*names, status=status), held, 0.0)
