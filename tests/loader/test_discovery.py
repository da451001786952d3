"""Finding plugins: requirements, versions, what is disabled."""

from __future__ import annotations

from importlib import metadata

import pytest

from meshregistry.loader import find_plugins
from meshregistry.loader._discovery import disabled_names, requirement, running_version


@pytest.mark.parametrize(
    ("requires", "asked"),
    [
        ([], ""),
        (["attrs>=24"], ""),
        (["meshregistry"], ""),
        (["meshregistry>=0.1,<0.2"], ">=0.1,<0.2"),
        (["Meshregistry[server] >=0.1, <0.2 ; python_version > '3'"], ">=0.1, <0.2"),
        (["meshregistry (>=0.1)"], ">=0.1"),
        (["meshregistry-consul>=3", "meshregistry ~=0.1"], "~=0.1"),
        (["meshregistry[testing]>=9; extra == 'test'", "meshregistry>=0.1"], ">=0.1"),
        ([">=1"], ""),
    ],
)
def test_what_a_distribution_asks_of_us(requires, asked):
    """Only requirements on meshregistry itself count, and none of an extra (PEP 508)."""
    assert asked == requirement(requires)


@pytest.mark.parametrize(
    ("text", "names"),
    [("", set()), (" , ", set()), ("a", {"a"}), ("a, b,,c ", {"a", "b", "c"})],
)
def test_the_variable_is_a_list_with_commas(text, names):
    """Blanks around names do not matter."""
    assert names == disabled_names({"MESHREGISTRY_DISABLE_PLUGINS": text})


def test_without_the_variable_nothing_is_disabled():
    """An environment that says nothing blocks nothing."""
    assert frozenset() == disabled_names({})


def test_a_source_tree_that_is_not_installed_has_no_version(monkeypatch):
    """The version is read from the installed metadata, and unknown without."""

    def absent(name):
        raise metadata.PackageNotFoundError(name)

    assert metadata.version("meshregistry") == running_version()
    monkeypatch.setattr(metadata, "version", absent)
    assert "unknown" == running_version()


def test_an_installation_without_metadata_is_listed(install, tmp_path):
    """Half an uninstallation leaves an entry point without a distribution's name."""
    install("damaged", "")
    for info in tmp_path.glob("*.dist-info"):
        (info / "METADATA").unlink()
    (found,) = (one for one in find_plugins({}) if one.name == "damaged")
    assert ("", "", "") == (found.distribution, found.version, found.requires)


def test_plugins_are_found_in_a_fixed_order(install):
    """Entry points come by name, then by distribution, whatever the order on disk."""
    install("b", "")
    install("a", "", distribution="z-a")
    install("a", "", distribution="y-a")
    found = [(one.name, one.distribution) for one in find_plugins({}) if one.version == "1.2"]
    assert [("a", "y-a"), ("a", "z-a"), ("b", "meshregistry-b")] == found
