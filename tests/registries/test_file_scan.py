"""When a file counts as changed and when as gone."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from meshregistry.registries._file_scan import CONFIRMATION, EMPTY, Changes, Scanner


def test_a_new_file_is_a_change_at_once():
    """Additions need no confirmation."""
    assert Changes(changed=("a", "b")) == Scanner().observe(0, {"b": "2", "a": "1"})


def test_equal_content_is_no_change():
    """The hash decides, however many events there were."""
    scanner = Scanner()
    scanner.observe(0, {"a": "1"})
    assert not scanner.observe(1, {"a": "1"})
    assert Changes(changed=("a",)) == scanner.observe(2, {"a": "2"})


def test_a_file_is_gone_when_absent_in_two_scans_500_ms_apart():
    """The first scan that misses it sets a deadline, the second one removes it."""
    scanner = Scanner()
    scanner.observe(0, {"a": "1"})
    assert not scanner.observe(10, {})
    assert scanner.deadline == 10 + CONFIRMATION
    assert not scanner.observe(10.4, {})
    assert Changes(gone=("a",)) == scanner.observe(10.5, {})
    assert scanner.deadline is None
    assert not scanner.observe(20, {})


def test_a_file_that_comes_back_was_never_gone():
    """A rename over the file, seen half-way, is nothing."""
    scanner = Scanner()
    scanner.observe(0, {"a": "1"})
    scanner.observe(1, {})
    assert not scanner.observe(1.2, {"a": "1"})
    assert scanner.deadline is None
    scanner.observe(2, {})
    assert not scanner.observe(2.4, {}), "the time counts anew"


def test_an_empty_file_is_missed_like_an_absent_one():
    """An editor that truncates and then writes must not take everything away."""
    scanner = Scanner()
    scanner.observe(0, {"a": "1"})
    assert not scanner.observe(1, {"a": EMPTY})
    assert not scanner.observe(1.1, {})
    assert Changes(changed=("a",)) == scanner.observe(1.2, {"a": "2"})
    scanner.observe(2, {"a": EMPTY})
    assert Changes(gone=("a",)) == scanner.observe(2.5, {"a": EMPTY})
    assert scanner.deadline is None
    assert not scanner.observe(9, {"a": EMPTY})
    assert scanner.deadline is None


def test_a_new_empty_file_is_waited_for_once():
    """It is about to be written, or it stays empty, which is nothing."""
    scanner = Scanner()
    assert not scanner.observe(0, {"a": EMPTY})
    assert scanner.deadline == CONFIRMATION
    assert not scanner.observe(0.5, {"a": EMPTY})
    assert scanner.deadline is None
    assert Changes(changed=("a",)) == scanner.observe(1, {"a": "1"})


_CONTENT = st.sampled_from([None, EMPTY, "1", "2"])
_STEPS = st.lists(
    st.tuples(st.sampled_from([0.1, 0.3, 0.6]), _CONTENT, _CONTENT), min_size=1, max_size=12
)


@settings(max_examples=150, deadline=None)
@given(_STEPS)
def test_what_is_known_follows_what_stays(steps):
    """Content seen last is what is known; after staying away for two scans, nothing is."""
    scanner, known, now = Scanner(), {}, 0.0
    for wait, *contents in steps:
        now += wait
        listing = {f: c for f, c in zip("ab", contents, strict=True) if c is not None}
        changes = scanner.observe(now, listing)
        known.update({file: listing[file] for file in changes.changed})
        for file in changes.gone:
            assert listing.get(file, EMPTY) == EMPTY
            del known[file]
        for file, content in listing.items():
            assert content in {EMPTY, known.get(file)}
    final = {file: content for file, content in listing.items() if content != EMPTY}
    for _ in range(2):
        now += 1
        for file in scanner.observe(now, listing).gone:
            del known[file]
    assert known == final
    assert scanner.deadline is None
