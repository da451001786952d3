"""Facts of the options."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshregistry.spi import CORE_KEYS, Secret
from meshregistry_cloudfoundry import (
    CapiConfig,
    GorouterConfig,
    meshregistry_register_registries,
)
from meshregistry_cloudfoundry._config import capi_file_faults, gorouter_file_faults, split_router

SECRET = Secret("x")
USER = {"user": "u", "password": SECRET}


@pytest.mark.parametrize(
    "options",
    [
        {"servers": ()},
        {"servers": ("http://nats",)},
        {"servers": ("nats://nats:99999",)},
        {"servers": ("nats://nats/path",)},
        {"user": "u"},
        {"password": SECRET},
        {**USER, "token": SECRET},
        {"key_file": Path("key.pem")},
        {"sharding": "segments"},
        {"isolation_segments": ("a",)},
        {"service_port": 0},
        {"sweep": 0.0},
    ],
)
def test_wrong_options_of_gorouter_are_refused(options):
    """Each with a reason."""
    with pytest.raises(ValueError, match=r"\w"):
        GorouterConfig(**options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"user": "u"},
        {"password": SECRET},
        {**USER, "refresh_token": SECRET},
        {**USER, "api": "ftp://api"},
        {**USER, "api": "https://api/v3"},
        {**USER, "router": "http://router"},
        {**USER, "router": "a:b"},
        {**USER, "per_page": 5001},
        {**USER, "concurrency": 0},
    ],
)
def test_wrong_options_of_capi_are_refused(options):
    """Each with a reason."""
    with pytest.raises(ValueError, match=r"\w"):
        CapiConfig(**{"api": "https://api.example", **options})


def test_credentials_in_an_address_are_refused_without_being_shown():
    """An error is printed, and so would they be."""
    for make in (
        lambda: GorouterConfig(servers=("nats://me:planted@nats:4222",)),
        lambda: CapiConfig(api="https://me:planted@api.example", **USER),
    ):
        with pytest.raises(ValueError, match="holds credentials") as caught:
            make()
        assert "planted" not in str(caught.value)


def test_a_router_is_a_host_with_or_without_a_port():
    """Also an IPv6 address, in brackets."""
    for text, expected in (
        ("", ("", 80)),
        ("router.example", ("router.example", 80)),
        ("10.0.0.1:8081", ("10.0.0.1", 8081)),
        ("[::1]:8081", ("::1", 8081)),
    ):
        assert expected == split_router(text, 80)


@pytest.mark.parametrize("config", [GorouterConfig, CapiConfig])
def test_no_option_is_called_like_a_key_of_the_core(config):
    """Or the plugin would not load."""
    assert not set(CORE_KEYS) & {one.name for one in config.__attrs_attrs__}


def test_files_that_are_not_there_are_faults(tmp_path):
    """Each by its option, relative to the settings file; those that are there are none."""
    (tmp_path / "ca.pem").touch()
    absent = Secret(file=Path("absent"))
    gorouter = GorouterConfig(
        ca_file=Path("ca.pem"), cert_file=Path("cert.pem"), user="u", password=absent
    )
    assert ["cert_file", "password_file"] == [
        one.field for one in gorouter_file_faults(gorouter, tmp_path)
    ]
    capi = CapiConfig(api="https://api.example", ca_file=Path("ca.pem"), client_secret=absent)
    assert ["client_secret_file"] == [one.field for one in capi_file_faults(capi, tmp_path)]


def test_the_guard_against_mass_loss_is_off_where_addresses_are_used_again():
    """It would keep routes in plaintext just when they have to end; `capi` is guarded as usual."""
    kinds = {one.name: one for one in meshregistry_register_registries()}
    assert (False, True) == (kinds["gorouter"].is_guarded, kinds["capi"].is_guarded)
