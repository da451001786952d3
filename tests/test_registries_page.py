"""docs/reference/registries.md names every kind, and says of it what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import attrs
import pytest

from meshregistry import Pilot
from meshregistry.errors import UnknownKindError
from meshregistry.loader import install_line
from servers import programs
from servers.etcd import VERSION as ETCD
from servers.eureka import VERSION as EUREKA
from servers.mesos_recipe import MESOS
from servers.nats import VERSION as NATS

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "registries.md"
PLUGINS = Pilot.discover()
KINDS = {kind.name: kind for kind in PLUGINS.kinds()}
BUILT = {one.name: one.version.removeprefix("v") for one in programs.PROGRAMS}
SERVERS = {
    "capi": "**double only**",
    "consul": f"Consul {BUILT['consul']}",
    "etcd": f"etcd {ETCD} and {BUILT['etcd']}",
    "eureka": f"Eureka {EUREKA} ",
    "file": "real files",
    "gorouter": f"nats-server {NATS};",
    "kubernetes": f"kube-apiserver {BUILT['kube-apiserver']},",
    "marathon": "**double only**",
    "memory": "needs no server",
    "mesos": f"Mesos {MESOS.version.split()[0]},",
}
NONE = "\u2013"
CERTIFICATES = re.compile(r"(_file|_cert|_key|server_name)$|^verify$")


def rows() -> dict[str, dict[str, str]]:
    """The table: by kind, cells by column."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line[:1] == "|"]
    head, _, *body = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    cells = [dict(zip(head, row, strict=True)) for row in body]
    return {one["Kind"].strip("`"): one for one in cells}


ROWS = rows()


def options(kind: str) -> dict[str, bool]:
    """Options of a kind, and whether each is a secret."""
    fields = attrs.fields(KINDS[kind].config_class)
    return {one.name: "Secret" in str(one.type) for one in fields}


def named(cell: str) -> set[str]:
    """What a cell names in code."""
    return set(re.findall(r"`([^`]+)`", cell))


def test_every_kind_has_a_row() -> None:
    """In order of their names, and no other."""
    assert list(ROWS) == sorted(KINDS)


@pytest.mark.parametrize("kind", sorted(KINDS))
class TestRow:
    """What the code knows of a kind."""

    def test_the_extra_installs_it(self, kind: str) -> None:
        """A dash for those of the core."""
        line = install_line(kind)
        extra = ROWS[kind]["Extra"]
        assert line == (None if extra == NONE else f"pip install 'meshregistry[{extra}]'")

    def test_the_rule_source_is_there(self, kind: str) -> None:
        """And writable, if it says so."""
        try:
            found = PLUGINS.rule_kind(kind)
        except UnknownKindError:
            expected = "no"
        else:
            expected = "yes" if found.writer is None else "yes, writable"
        assert expected == ROWS[kind]["Rule source"]

    def test_the_registrar_is_there(self, kind: str) -> None:
        """Whether the kind has one."""
        assert (KINDS[kind].registrar is not None) == ROWS[kind]["Registers"].startswith("yes")

    def test_the_guard_is_as_the_kind_says(self, kind: str) -> None:
        """On or off, unless the settings say otherwise."""
        assert ("on" if KINDS[kind].is_guarded else "off") == ROWS[kind]["Guard"]

    def test_every_word_in_code_is_an_option(self, kind: str) -> None:
        """Of that kind."""
        words = set().union(
            *(named(ROWS[kind][column]) for column in ROWS[kind] if column != "Kind")
        )
        assert words <= set(options(kind))

    def test_no_secret_and_no_certificate_is_left_out(self, kind: str) -> None:
        """What the configuration class has for them stands in their cells."""
        secrets = {name for name, is_secret in options(kind).items() if is_secret}
        assert secrets <= named(ROWS[kind]["Credentials"])
        certificates = {name for name in options(kind) if CERTIFICATES.search(name)}
        assert certificates == named(ROWS[kind]["TLS to it"]) - {"kubeconfig"}

    def test_the_version_is_that_of_the_server_of_the_tests(self, kind: str) -> None:
        """Or it says plainly that there is none."""
        assert ROWS[kind]["Tested on"].startswith(SERVERS[kind])
