"""Rounds over real files, with the time as an argument."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from meshregistry.registries._file_documents import FileDocuments
from meshregistry.registries._file_follow import (
    Follower,
    document_files,
    watch,
    watched_folders,
)

if TYPE_CHECKING:
    from pathlib import Path


def services(*hosts):
    """The text of a document."""
    return (
        f"services: [{', '.join(f'{{host: {host}, ports: [{{port: 80}}]}}' for host in hosts)}]\n"
    )


class Rounds:
    """A follower with a clock."""

    def __init__(self, path: Path) -> None:
        documents = FileDocuments(trust_domain="mesh.local")
        self.follower = Follower(path, documents, lambda file: file.name)
        self.now = 0.0

    def look(self, after: float = 0.1):
        """The outcome of a round so many seconds later."""
        self.now += after
        return self.follower.round(self.now)

    def hosts(self, after: float = 0.1):
        """The hosts that a round publishes; None if it publishes nothing."""
        listing = self.look(after).listing
        return None if listing is None else [str(r.service.host) for r in listing.records]


@pytest.fixture
def folder(tmp_path):
    """A folder of one document."""
    path = tmp_path / "services"
    path.mkdir()
    (path / "a.yaml").write_text(services("a"))
    return path


def test_a_folder_is_all_its_documents(folder):
    """By suffix; hidden files, other files and sub-folders are not documents."""
    (folder / "b.yml").write_text(services("b"))
    (folder / "c.json").write_text('{"services": []}')
    (folder / ".d.yaml").write_text("x")
    (folder / "e.yaml~").write_text("x")
    (folder / "f.yaml").mkdir()
    assert ["a.yaml", "b.yml", "c.json"] == [file.name for file in document_files(folder)]
    assert Rounds(folder).hosts() == ["a", "b"]


def test_a_round_without_news_publishes_nothing(folder):
    """Also when a file was touched or rewritten with the same content."""
    rounds = Rounds(folder)
    assert rounds.hosts() == ["a"]
    (folder / "a.yaml").write_text(services("a"))
    os.utime(folder / "a.yaml", (1, 1))
    assert rounds.hosts() is None


def test_an_empty_folder_is_a_complete_answer(tmp_path):
    """It says that there is nothing."""
    assert Rounds(tmp_path).hosts() == []


def test_atomic_rename(folder):
    """The new content is there in the next round."""
    rounds = Rounds(folder)
    rounds.hosts()
    (folder / "new.tmp").write_text(services("b"))
    (folder / "new.tmp").replace(folder / "a.yaml")
    assert rounds.hosts() == ["b"]


def test_an_editor_that_truncates_and_writes(folder):
    """Between the two, nothing is taken away."""
    rounds = Rounds(folder)
    rounds.hosts()
    (folder / "a.yaml").write_text("")
    assert rounds.hosts() is None
    (folder / "a.yaml").write_text(services("b"))
    assert rounds.hosts() == ["b"]


def test_a_removed_file_is_gone_after_two_rounds(folder):
    """500 ms apart; the first says when to look again."""
    rounds = Rounds(folder)
    rounds.hosts()
    (folder / "a.yaml").unlink()
    first = rounds.look()
    assert (first.listing, first.deadline) == (None, pytest.approx(0.7))
    assert rounds.hosts(0.6) == []


def test_a_config_map_swaps_symbolic_links(tmp_path):
    """Files are links through ``..data``, which is replaced by a rename."""
    for name, host in (("..1", "a"), ("..2", "b")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "s.yaml").write_text(services(host))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "s.yaml").symlink_to("..data/s.yaml")
    rounds = Rounds(tmp_path)
    assert rounds.hosts() == ["a"]
    (tmp_path / "..tmp").symlink_to("..2")
    (tmp_path / "..tmp").replace(tmp_path / "..data")
    assert rounds.hosts() == ["b"]


def test_an_empty_file_at_first_sight_is_waited_for(folder):
    """It may be one that is just being written: nothing is published before that is known."""
    (folder / "a.yaml").write_text("")
    rounds = Rounds(folder)
    assert rounds.hosts() is None
    assert rounds.hosts(0.6) == []
    (folder / "a.yaml").write_text(services("a"))
    assert rounds.hosts() == ["a"]


def test_a_missing_folder_says_nothing_about_services(folder):
    """It is a failed look, before and after it was there."""
    moved = folder.with_name("moved")
    folder.rename(moved)
    rounds = Rounds(folder)
    missing = rounds.look()
    assert (missing.listing, missing.missing) == (None, "there is no file or folder services")
    moved.rename(folder)
    assert rounds.hosts() == ["a"]
    folder.rename(moved)
    assert rounds.look().missing
    assert rounds.look(9).missing
    moved.rename(folder)
    assert rounds.hosts() is None


def test_a_single_file_that_is_removed_is_gone(folder):
    """While its folder is there; a file that was never seen is a failed look."""
    path = folder / "a.yaml"
    assert Rounds(folder / "b.yaml").look().missing
    rounds = Rounds(path)
    assert rounds.hosts() == ["a"]
    path.unlink()
    assert rounds.hosts() is None
    assert rounds.hosts(0.6) == []
    path.write_text(services("b"))
    assert rounds.hosts() == ["b"]


def test_an_unreadable_file_is_reported(folder):
    """And keeps what it said. (A dangling link cannot be read by anyone, root included.)"""
    rounds = Rounds(folder)
    rounds.hosts()
    (folder / "a.yaml").unlink()
    (folder / "a.yaml").symlink_to("a.yaml")
    listing = rounds.look().listing
    assert ["a"] == [str(record.service.host) for record in listing.records]
    assert "a.yaml: the file cannot be read" in str(listing.faulty[0])


def test_the_nearest_existing_parent_is_watched(tmp_path):
    """And the folder itself, and where links lead to."""
    path = tmp_path / "x" / "y" / "services"
    assert [tmp_path] == [folder for folder, _ in watched_folders(path)]
    path.mkdir(parents=True)
    assert [path.parent, path] == [folder for folder, _ in watched_folders(path)]
    link = tmp_path / "link"
    link.symlink_to(path)
    assert [tmp_path, link, path.parent, path] == [folder for folder, _ in watched_folders(link)]


def test_a_folder_that_was_replaced_is_watched_anew(folder):
    """Its identity differs, although its name does not."""
    before = tuple(watched_folders(folder))
    folder.rename(folder.with_name("old"))
    folder.mkdir()
    assert before != tuple(watched_folders(folder))


def test_the_watch_tells_of_changes_of_the_path_only(folder):
    """Once when it is in place, then after each change; neighbours do not count."""
    hinted, stop = threading.Semaphore(0), threading.Event()
    folders = [one for one, _ in watched_folders(folder)]
    thread = threading.Thread(target=watch, args=(folders, folder, hinted.release, stop))
    thread.start()
    try:
        assert hinted.acquire(timeout=10), "in place"
        (folder.parent / "neighbour").write_text("x")
        (folder / "a.yaml").write_text(services("b"))
        assert hinted.acquire(timeout=10), "a change"
        folder.rename(folder.with_name("moved"))
        assert hinted.acquire(timeout=10), "the folder itself"
    finally:
        stop.set()
        thread.join(timeout=10)
    assert not thread.is_alive()
