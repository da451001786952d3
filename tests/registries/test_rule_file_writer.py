"""Decisions as files of a watched folder."""

from __future__ import annotations

import os
import stat

import pytest
import yaml

from meshregistry.errors import ConfigError, RegistryUnavailable
from meshregistry.registries import FileConfig, RuleFileWriter, rule_documents
from meshregistry.spi import OutgoingDocument, safe_name
from meshregistry.testing import context


def document(phase="DRAINING", **more):
    """A decision."""
    return OutgoingDocument(
        group="meshregistry.dev",
        version="v1",
        kind="Drain",
        name="a",
        spec={"host": "a.b", "address": "10.0.0.1", "port": 80, "phase": phase},
        **more,
    )


def writer(folder):
    """One for this folder."""
    return RuleFileWriter(FileConfig(path=folder), context(base_path=folder))


def test_each_document_is_one_file(run_async, tmp_path):
    """A new version replaces the former one whole; others may read it."""

    async def main():
        one = writer(tmp_path)
        place = await one.put(document())
        assert place == str(tmp_path / "drain-a.yaml")
        await one.put(document("REMOVED"))
        await one.put(document(namespace="shop"))
        names = sorted(path.name for path in tmp_path.iterdir())
        assert names == ["drain-a.yaml", "drain-shop-a.yaml"]
        value = yaml.safe_load((tmp_path / "drain-a.yaml").read_text())
        assert value == document("REMOVED").value
        assert stat.S_IMODE((tmp_path / "drain-a.yaml").stat().st_mode) == 0o644
        listing = rule_documents(tmp_path)
        assert (len(listing.documents), listing.faults) == (2, ())
        assert await one.delete(document())
        assert not await one.delete(document())
        assert [path.name for path in tmp_path.iterdir()] == ["drain-shop-a.yaml"]

    run_async(main())


def test_a_single_file_is_not_written_to(tmp_path):
    """It is its owner's."""
    (tmp_path / "rules.yaml").write_text("")
    with pytest.raises(ConfigError, match="not a folder"):
        writer(tmp_path / "rules.yaml")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_to_says_so(run_async, tmp_path):
    """And leaves no draft."""
    tmp_path.chmod(0o500)
    with pytest.raises(RegistryUnavailable, match="cannot be written"):
        run_async(writer(tmp_path).put(document()))


def test_a_folder_that_is_gone_says_so(run_async, tmp_path):
    """As any other fault of the file system."""
    one = writer(tmp_path)
    tmp_path.rmdir()
    with pytest.raises(RegistryUnavailable, match=r"drain-a\.yaml cannot be written"):
        run_async(one.put(document()))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("reviews.shop", "reviews.shop"),
        ("*.Shop", "any.shop"),
        ("*", "any"),
        ("r-[::1]:80", "r-1-80"),
        ("../..", "any"),
        ("DC 1/ä", "dc-1"),
    ],
)
def test_names_are_safe(text, name):
    """For files, keys and objects of Kubernetes."""
    assert safe_name(text) == name
