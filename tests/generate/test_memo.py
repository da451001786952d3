"""The memo: identity of inputs, and forgetting."""

from __future__ import annotations

from meshregistry.generate._memo import Fragments, Memo


class Calls:
    """Counts what it makes."""

    def __init__(self) -> None:
        self.former: list[object] = []

    def __call__(self, former: object) -> object:
        self.former.append(former)
        return object()


def test_the_same_inputs_give_the_same_result() -> None:
    """A result is made once for inputs that are the same objects."""
    memo, make, value = Memo(), Calls(), [1]
    first = memo.get("slot", (value,), make)
    assert memo.get("slot", (value,), make) is first
    assert make.former == [None]


def test_equal_inputs_are_not_the_same() -> None:
    """Identity decides; the former result is at hand for what did not change."""
    memo, make = Memo(), Calls()
    first = memo.get("slot", ([1],), make)
    assert memo.get("slot", ([1],), make) is not first
    assert make.former == [None, first]


def test_another_number_of_inputs_is_a_change() -> None:
    """Inputs that were added or went away make a result anew."""
    memo, make, value = Memo(), Calls(), [1]
    first = memo.get("slot", (value,), make)
    assert memo.get("slot", (value, value), make) is not first


def test_what_a_world_does_not_use_is_forgotten() -> None:
    """A slot that nobody asked for between two turns is dropped, one that was asked for stays."""
    memo, make, value = Memo(), Calls(), [1]
    kept = memo.get("kept", (value,), make)
    memo.get("dropped", (value,), make)
    memo.turn()
    assert memo.get("kept", (value,), make) is kept
    memo.turn()
    assert len(memo) == 1


def test_pieces_are_made_once_for_equal_words() -> None:
    """A pass takes pieces of the former one, and passes on only what it used."""
    made: list[str] = []

    def make(words: str) -> bytes:
        made.append(words)
        return words.encode()

    first = Fragments()
    assert (first.keep("a", make), first.keep("b", make)) == (b"a", b"b")
    second = Fragments(first)
    assert second.keep("a", make) == b"a"
    second.close()
    third = Fragments(second)
    assert (third.keep("a", make), third.keep("b", make)) == (b"a", b"b")
    assert made == ["a", "b", "b"]
