"""Facts of the options."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshregistry.spi import CORE_KEYS, Secret
from meshregistry_eureka import EurekaConfig
from meshregistry_eureka._config import Server, file_faults, parse_servers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://a:8761/eureka", [Server("http://a:8761/eureka")]),
        ("http://a:8761/eureka/", [Server("http://a:8761/eureka")]),
        ("http://a:8761", [Server("http://a:8761/eureka")]),
        ("https://a/eureka/v2", [Server("https://a/eureka/v2")]),
        ("http://[::1]:8761", [Server("http://[::1]:8761/eureka")]),
        ("http://me:p%40ss@a/x", [Server("http://a/x", "me", "p@ss")]),
        (
            "http://a/eureka, http://me:x@b/eureka,",
            [Server("http://a/eureka"), Server("http://b/eureka", "me", "x")],
        ),
    ],
)
def test_servers_are_read(text, expected):
    """The context is /eureka unless the URL has another; credentials are taken out of it."""
    assert tuple(expected) == parse_servers(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ",",
        "a:8761",
        "ftp://me:hidden@a",
        "http://",
        "http://me:hidden@:x",
        "http://a/?b=hidden@c",
    ],
)
def test_wrong_servers_are_refused_without_their_credentials(text):
    """The reason names what stands behind them."""
    with pytest.raises(ValueError, match=r"http://host:8761/eureka") as caught:
        parse_servers(text)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"eureka_server": Secret("nonsense")},
        {"eureka_basic_auth_user": "me"},
        {"eureka_basic_auth_password": Secret("x")},
        {"key_file": Path("key.pem")},
        {"names": ()},
        {"hostname": "web"},
        {"hostname": "{name}.{what}"},
        {"service_port": 0},
        {"service_port": 443},
        {"registry_fetch_interval": 0.0},
        {"full_fetch_interval": 0.0},
        {"empty_wait": -1.0},
        {"timeout": 0.0},
    ],
)
def test_wrong_options_are_refused(options):
    """Each with a reason."""
    with pytest.raises(ValueError, match=r"\w"):
        EurekaConfig(**options)


def test_no_option_is_called_like_a_key_of_the_core():
    """Or the plugin would not load."""
    assert not set(CORE_KEYS) & {one.name for one in EurekaConfig.__attrs_attrs__}


def test_credentials_are_never_shown():
    """Neither those of a URL nor the password."""
    config = EurekaConfig(
        eureka_server=Secret("http://me:hidden@a/eureka"),
        eureka_basic_auth_user="me",
        eureka_basic_auth_password=Secret("hidden"),
    )
    assert "hidden" not in repr(config)
    assert "hidden" not in repr(parse_servers("http://me:hidden@a/eureka"))


def test_files_that_are_not_there_are_faults(tmp_path):
    """Each by its option, relative to the settings file; those that are there are none."""
    (tmp_path / "ca.pem").touch()
    config = EurekaConfig(
        eureka_server=Secret(file=Path("servers")),
        eureka_basic_auth_user="me",
        eureka_basic_auth_password=Secret(file=Path("password")),
        ca_file=Path("ca.pem"),
        cert_file=Path("cert.pem"),
    )
    assert ["eureka_server_file", "eureka_basic_auth_password_file", "cert_file"] == [
        one.field for one in file_faults(config, tmp_path)
    ]
