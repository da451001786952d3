"""Facts of the options."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshregistry.spi import CORE_KEYS, Secret
from meshregistry_consul import ConsulConfig
from meshregistry_consul._config import file_faults, parse_address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://127.0.0.1:8500", ("http", "127.0.0.1", 8500)),
        ("https://consul.example", ("https", "consul.example", 8501)),
        ("consul:9000", ("http", "consul", 9000)),
        ("http://[::1]:8500/", ("http", "::1", 8500)),
    ],
)
def test_addresses_are_read(text, expected):
    """Consul's ports are the defaults."""
    assert expected == parse_address(text)


@pytest.mark.parametrize(
    "options",
    [
        {"address": "ftp://consul"},
        {"address": "http://consul/path"},
        {"address": "http://me@consul"},
        {"hostname": "web"},
        {"hostname": "{service}.{what}"},
        {"datacenters": ("a", "a")},
        {"dc": "a", "datacenters": ("b",)},
        {"wait": 0.0},
        {"wait": 601.0},
        {"service_port": 0},
        {"concurrency": 0},
        {"key_file": "key.pem"},
    ],
)
def test_wrong_options_are_refused(options):
    """Each with a reason."""
    with pytest.raises(ValueError, match=r"\w"):
        ConsulConfig(**options)


def test_no_option_is_called_like_a_key_of_the_core():
    """Or the plugin would not load."""
    assert not set(CORE_KEYS) & {one.name for one in ConsulConfig.__attrs_attrs__}


def test_files_that_are_not_there_are_faults(tmp_path):
    """Each by its option, relative to the settings file; those that are there are none."""
    (tmp_path / "ca.pem").touch()
    config = ConsulConfig(
        ca_file=Path("ca.pem"), cert_file=Path("cert.pem"), token=Secret(file=Path("token"))
    )
    assert ["cert_file", "token_file"] == [one.field for one in file_faults(config, tmp_path)]
