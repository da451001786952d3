"""The files of snapshots: whole or not at all, and read with suspicion."""

from __future__ import annotations

import json

import pytest
from attrs import evolve

from meshregistry.pilot._snapshot_folder import (
    INDEX,
    Head,
    SnapshotError,
    SnapshotFolder,
    StoredPart,
)

HEAD = Head(what="source", id="dc1", origin="abc", written=100.0)
PARTS = {"": StoredPart(("x", "ü"), 90.0), "west": StoredPart((), 80.0)}


def same(item):
    """Items are texts here."""
    return item


def strict(item):
    """Only texts."""
    if not isinstance(item, str):
        msg = f"{item} is no text"
        raise TypeError(msg)
    return item


@pytest.fixture
def folder(tmp_path):
    """A folder that is not there yet, with one file."""
    made = SnapshotFolder(tmp_path / "a" / "b")
    made.write(HEAD, PARTS, same)
    return made


def test_what_is_written_is_read_again(folder):
    """With the head, part by part."""
    assert folder.read("source", "dc1", same) == (HEAD, PARTS)


def test_nobody_else_may_read_it(folder):
    """Records tell much of a company."""
    (file,) = folder.path.iterdir()
    assert (file.stat().st_mode & 0o777, folder.path.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_source_without_a_file_has_none(folder, tmp_path):
    """Neither has a folder that is not there."""
    assert folder.read("rules", "dc1", same) is None
    assert SnapshotFolder(tmp_path / "no").read("source", "dc1", same) is None


def test_ids_are_no_paths(folder):
    """Objects of a program have ids that settings would refuse."""
    odd = evolve(HEAD, id="../../etc/x y")
    folder.write(odd, PARTS, same)
    assert folder.read("source", odd.id, same) == (odd, PARTS)
    assert len(list(folder.path.iterdir())) == 2


def test_the_index_tells_that_nothing_has_changed_since(folder):
    """What it says of other files and older times does not count."""
    folder.write_index({"source-dc1.jsonl": {"": 200.0, "west": 10.0, "east": 1.0}, "other": {}})
    _, parts = folder.read("source", "dc1", same)
    assert {name: part.current for name, part in parts.items()} == {"": 200.0, "west": 80.0}


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": "x"}', '{"current": 5}'])
def test_a_damaged_index_is_as_none(folder, text):
    """The parts are then older than need be."""
    (folder.path / INDEX).write_text(text)
    assert folder.read("source", "dc1", same)[1] == PARTS


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: "", "is damaged"),
        (lambda text: text[:-3], "is damaged"),
        (lambda text: text.partition("\n")[0], "is damaged"),
        (lambda text: text.replace('"x"', "5"), "is damaged: 5 is no text"),
        (lambda text: "[" * 100_000, "is damaged"),
        (lambda text: "hello", "is damaged"),
        (lambda text: "[]", "is no snapshot of ours"),
        (lambda text: text.replace("meshregistry-snapshot", "x"), "is no snapshot of ours"),
        (lambda text: text.replace('"version":1', '"version":2'), "has version 2 of the format"),
        (lambda text: text.replace('"id":"dc1"', '"id":"dc2"'), "is the one of source dc2"),
        (lambda text: text.replace('"origin":"abc",', ""), "is damaged"),
        (lambda text: text.replace('"current":90.0', '"current":1e400'), "is damaged: inf is no"),
        (lambda text: text.replace('"current":90.0', '"current":NaN'), "is damaged: nan is no"),
        (lambda text: text.replace('"written":100.0', '"written":1e99'), "is damaged: 1e.99 is no"),
    ],
)
def test_what_cannot_be_trusted_is_refused(folder, change, reason):
    """With the file and the reason."""
    file = folder.path / "source-dc1.jsonl"
    file.write_text(change(file.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(SnapshotError, match=f"source-dc1.jsonl {reason}"):
        folder.read("source", "dc1", strict)


def test_a_file_that_cannot_be_read_is_refused(folder):
    """A folder in its place, for instance."""
    (folder.path / "rules-a.jsonl").mkdir()
    with pytest.raises(SnapshotError, match=r"rules-a.jsonl cannot be read: Is a directory"):
        folder.read("rules", "a", same)


def test_a_write_that_fails_leaves_what_was_there(folder):
    """And nothing beside it."""

    def failing(item):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        folder.write(evolve(HEAD, written=200.0), PARTS, failing)
    assert folder.read("source", "dc1", same) == (HEAD, PARTS)
    assert [one.name for one in folder.path.iterdir()] == ["source-dc1.jsonl"]


def test_the_format_is_lines_of_json(folder):
    """As documented: a head, then one line for each item."""
    first, *rest = (folder.path / "source-dc1.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(first) == {
        "format": "meshregistry-snapshot",
        "version": 1,
        "what": "source",
        "id": "dc1",
        "origin": "abc",
        "written": 100.0,
        "parts": [
            {"name": "", "current": 90.0, "items": 2},
            {"name": "west", "current": 80.0, "items": 0},
        ],
    }
    assert rest == ['"x"', r'"\u00fc"']


def test_what_no_utf_8_holds_is_kept_all_the_same(folder):
    """JSON lets a registry say half a surrogate, and a snapshot must not be why a pilot fails."""
    folder.write(HEAD, {"": StoredPart(("\ud800",), 90.0)}, same)
    assert folder.read("source", "dc1", same)[1][""].items == ("\ud800",)
