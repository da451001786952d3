"""Documents in files and folders."""

from __future__ import annotations

import pytest

from meshregistry.mixer.config import ConfigFiles

DOCUMENT = (
    "apiVersion: config.istio.io/v1alpha2\nkind: rule\nmetadata: {{name: {}, namespace: ns}}\n"
)


def names(listing):
    """The names of the documents of a listing."""
    return [document.key.name for document in listing.documents]


class TestConfigFiles:
    """Read again and again."""

    def test_in_the_order_of_files(self, tmp_path):
        """With all that is below a folder; what begins with a dot is kept aside."""
        (tmp_path / "b.yaml").write_text(DOCUMENT.format("b"))
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "x.json").write_text(
            '{"apiVersion": "x/v1", "kind": "k", "metadata": {"name": "a"}}'
        )
        (tmp_path / ".c.yaml").write_text(DOCUMENT.format("hidden"))
        (tmp_path / "readme.txt").write_text("no")
        assert names(ConfigFiles([tmp_path]).read()) == ["a", "b"]

    def test_only_changes_are_told(self, tmp_path):
        """By their contents."""
        file = tmp_path / "a.yaml"
        file.write_text(DOCUMENT.format("a"))
        files = ConfigFiles([tmp_path])
        assert names(files.read()) == ["a"]
        assert files.read() is None
        file.write_text(DOCUMENT.format("b"))
        assert names(files.read()) == ["b"]
        file.unlink()
        assert names(files.read()) == []
        assert files.read() is None

    def test_what_stays_unreadable_is_told_once(self, tmp_path):
        """Else each look would put an equal configuration into force, and empty the caches."""
        (tmp_path / "a.yaml").symlink_to("nowhere")
        files = ConfigFiles([tmp_path])
        (fault,) = files.read().faults
        assert "make it a file that can be read, or take it away" == fault.remedy
        assert files.read() is None

    def test_a_folder_may_be_called_like_a_file(self, tmp_path):
        """It is no file that cannot be read; what is in it is read."""
        (tmp_path / "a.yaml").mkdir()
        (tmp_path / "a.yaml" / "b.yaml").write_text(DOCUMENT.format("b"))
        listing = ConfigFiles([tmp_path]).read()
        assert ((), ["b"]) == (listing.faults, names(listing))

    def test_a_broken_file_keeps_what_it_said(self, tmp_path):
        """And its fault is told."""
        file = tmp_path / "a.yaml"
        file.write_text(DOCUMENT.format("a"))
        files = ConfigFiles([file])
        files.read()
        file.write_text("kind: [")
        listing = files.read()
        assert names(listing) == ["a"]
        assert len(listing.faults) == 1

    def test_a_path_that_is_not_there(self, tmp_path):
        """Is an error, and no empty configuration."""
        with pytest.raises(FileNotFoundError):
            ConfigFiles([tmp_path / "nope"]).read()
