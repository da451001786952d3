"""The options: what they mean, and which contradict each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshregistry.errors import ConfigError
from meshregistry.spi import Secret
from meshregistry.testing import context
from meshregistry_etcd import EtcdConfig, meshregistry_register_registries
from meshregistry_etcd._watch import prefix_range


def test_a_prefix_ends_in_a_slash():
    """So a service whose name begins alike stays out; two layouts have customary ones."""
    assert "/meshregistry/services/" == EtcdConfig().folder
    assert "/skydns/" == EtcdConfig(layout="skydns").folder
    assert "a/web/" == EtcdConfig(prefix="a/web").folder == EtcdConfig(prefix="a/web//").folder
    assert (b"a/web/", b"a/web0") == prefix_range("a/web/")


def test_endpoints_may_have_schemes():
    """https:// or ca_cert turns TLS on; an endpoint counts once."""
    config = EtcdConfig(endpoints=("http://a:1", "a:1", "b:2/"))
    assert (("a:1", "b:2"), False) == (config.targets, config.is_tls)
    assert EtcdConfig(endpoints=("https://a:1",)).is_tls
    assert EtcdConfig(ca_cert=Path("ca.pem")).is_tls


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"endpoints": ()}, "endpoints"),
        ({"endpoints": ("a",)}, "'a' is not an endpoint"),
        ({"endpoints": ("ftp://a:1",)}, "is not an endpoint"),
        ({"endpoints": ("https://a:1", "http://b:1")}, "some endpoints use TLS"),
        ({"layout": "go-kit"}, "no customary prefix"),
        ({"prefix": "/"}, "the prefix names no folder"),
        ({"user": "root"}, "user and password belong together"),
        ({"password": Secret("x")}, "user and password belong together"),
        ({"cert_cert": Path("c")}, "cert_cert and cert_key belong together"),
        ({"cert_cert": Path("c"), "cert_key": Path("k")}, "no use without TLS"),
        ({"service_ports": {"a.b": 0}}, "the port 0 of a.b"),
        ({"page_size": 0}, "page_size"),
    ],
)
def test_contradictions_are_explained(options, message):
    """As a ValueError, which the core reports at its place in the settings."""
    with pytest.raises(ValueError, match=message):
        EtcdConfig(**options)


def test_a_secret_is_never_shown():
    """Neither is the password."""
    assert "sesame" not in repr(EtcdConfig(user="root", password=Secret("sesame")))


def test_files_that_are_not_there_are_found_without_a_backend(tmp_path):
    """For `meshregistry check`."""
    kind = meshregistry_register_registries()
    there = tmp_path / "there"
    there.write_text("x")
    config = EtcdConfig(
        ca_cert=there,
        cert_cert=tmp_path / "c",
        cert_key=there,
        user="a",
        password=Secret(file=tmp_path / "p"),
    )
    assert ["cert_cert", "password_file"] == [one.field for one in kind.check(config, tmp_path)]


def test_only_our_own_layout_is_written():
    """The others belong to other programs."""
    kind = meshregistry_register_registries()
    with pytest.raises(ConfigError, match="not registered in the layout skydns"):
        kind.registrar(EtcdConfig(layout="skydns"), context())
