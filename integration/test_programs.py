"""Which programs are built anew, and what is said of those that cannot be."""

from __future__ import annotations

import pytest

from servers import programs
from servers.programs import MODULES, PROGRAMS, Program

TOY = Program(name="toy", module="etcd", package="example.org/toy", version="v2.0")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache folder, and no Go on the path."""
    monkeypatch.setenv("MESHREGISTRY_SERVERS", str(tmp_path))
    monkeypatch.setattr(programs, "find_go", lambda: None)
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin"


def place(folder, version):
    """A program that says this version."""
    path = folder / "toy"
    path.write_text(f"#!/bin/sh\necho toy {version}\n")
    path.chmod(0o755)


def install():
    """Whether all is there, and what was said."""
    said = []
    return programs.install([TOY], say=said.append), said


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_every_program_has_its_module_with_checksums(program):
    """Without go.sum a build would have to trust what it finds."""
    assert (MODULES / program.module / "go.mod").is_file()
    assert (MODULES / program.module / "go.sum").is_file()


def test_a_program_of_the_right_version_is_taken_as_it_is(folder):
    """It is asked once and stamped; after that the stamp decides."""
    place(folder, "v2.0")
    assert (True, []) == install()
    assert TOY.stamp == (folder / "toy.stamp").read_text().strip()
    place(folder, "nonsense")
    assert (True, []) == install()


@pytest.mark.parametrize("was", ["v1.9", "v2.0.1"])
def test_a_program_of_another_version_is_built_anew(folder, was):
    """A version that only begins alike is another one."""
    place(folder, was)
    complete, said = install()
    assert not complete
    assert ["toy is not built, and its tests are skipped: Go is not on this machine"] == [
        one.partition(":")[0] + ":" + one.split(":")[1] for one in said
    ]


def test_other_inputs_mean_another_program(folder):
    """A stamp that differs is as good as none."""
    place(folder, "v2.0")
    (folder / "toy.stamp").write_text("v2.0 000000000000\n")
    assert not install()[0]


def test_the_reason_is_kept_for_the_tests_that_skip(folder):
    """They name the program and why it cannot be had."""
    assert "toy has not been built: `make integration` does it" == programs.reason("toy")
    install()
    assert "toy cannot be had: Go is not on this machine: install it to build this program" == (
        programs.reason("toy")
    )
    assert programs.find("toy") is None


def test_too_little_space_is_a_reason(folder, monkeypatch):
    """A build that would fill the disk does not begin."""
    monkeypatch.setattr(programs, "find_go", lambda: "go")
    monkeypatch.setattr(programs, "NEEDED_SPACE", 1 << 80)
    complete, said = install()
    assert not complete
    assert "MESHREGISTRY_SERVERS" in said[-1]
