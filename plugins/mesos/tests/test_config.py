"""Facts of the options of both kinds."""

from __future__ import annotations

from pathlib import Path

import pytest

import meshregistry_mesos
from meshregistry.spi import CORE_KEYS, Secret
from meshregistry_mesos import MarathonConfig, MesosConfig
from meshregistry_mesos._config import file_faults, parse_server

BOTH = [MesosConfig, MarathonConfig]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://127.0.0.1:5050", "http://127.0.0.1:5050"),
        ("mesos:5050", "http://mesos:5050"),
        ("https://dcos.example/service/marathon/", "https://dcos.example/service/marathon"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
    ],
)
def test_addresses_are_read(text, expected):
    """With a path, if they have one."""
    assert expected == parse_server(text)


@pytest.mark.parametrize("config_class", BOTH)
@pytest.mark.parametrize(
    "options",
    [
        {"masters": ()},
        {"masters": ("zk://a:2181/mesos",)},
        {"masters": ("http://me:secret@mesos",)},
        {"masters": ("http://a:99999",)},
        {"masters": ("a:1", "http://a:1")},
        {"hostname": "web"},
        {"hostname": "{task}{app}{what}"},
        {"vip_hostname": "vip"},
        {"service_ports": {"http": 0}},
        {"username": "me"},
        {"password": Secret("x")},
        {"username": "me", "password": Secret("x"), "token": Secret("y")},
        {"key_file": Path("key.pem")},
        {"timeout": 0.0},
        {"resync": 0.0},
    ],
)
def test_wrong_options_are_refused(config_class, options):
    """Each with a reason."""
    with pytest.raises(ValueError, match=r"\w"):
        config_class(**options)


def test_virtual_addresses_can_be_left_out():
    """By an empty template."""
    assert MesosConfig(vip_hostname="").vip_hostname == MarathonConfig(vip_hostname="").vip_hostname


@pytest.mark.parametrize("config_class", BOTH)
def test_no_option_is_called_like_a_key_of_the_core(config_class):
    """Or the plugin would not load."""
    assert not set(CORE_KEYS) & {one.name for one in config_class.__attrs_attrs__}


@pytest.mark.parametrize("config_class", BOTH)
def test_files_that_are_not_there_are_faults(config_class, tmp_path):
    """Each by its option, relative to the settings file; those that are there are none."""
    (tmp_path / "ca.pem").touch()
    config = config_class(
        ca_file=Path("ca.pem"),
        cert_file=Path("cert.pem"),
        username="me",
        password=Secret(file=Path("password")),
    )
    assert ["cert_file", "password_file"] == [one.field for one in file_faults(config, tmp_path)]
    config = config_class(token=Secret(file=Path("token")))
    assert ["token_file"] == [one.field for one in file_faults(config, tmp_path)]


@pytest.mark.parametrize("folder", [Path(__file__).parents[1]], ids=["README"])
def test_every_option_of_both_kinds_is_documented(folder):
    """By its name, with its default, in the page."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    for kind in meshregistry_mesos.meshregistry_register_registries():
        names = {one.name for one in kind.config_class.__attrs_attrs__}
        assert set() == {name for name in names if f"| `{name}` |" not in text}
