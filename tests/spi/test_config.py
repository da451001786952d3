"""Config types: a secret is never printed."""

from __future__ import annotations

import logging

import pytest

from meshregistry.spi import Secret

PLANTED = "hunter2-planted"


@pytest.mark.parametrize(
    "show",
    [str, repr, "{}".format, "{!r}".format, lambda s: str([s])],
)
def test_a_secret_prints_stars(show):
    """However a secret is turned into text, the text does not have it."""
    assert "***" in show(Secret(PLANTED))
    assert PLANTED not in show(Secret(PLANTED))


def test_a_planted_secret_is_in_no_log(caplog):
    """A secret that is logged, in a message or in an error, prints stars."""
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("meshregistry.test").error("failed with %s", Secret(PLANTED))
    assert "failed with ***" in caplog.text
    assert PLANTED not in caplog.text


def test_a_secret_in_a_file_is_read_again(run_async, tmp_path):
    """A rotated credential is seen at the next read, without its trailing newline."""
    file = tmp_path / "token"
    file.write_text("first\n", encoding="utf-8")
    secret = Secret(file=file)
    assert "first" == run_async(secret.read())
    file.write_text("second\r\n", encoding="utf-8")
    assert "second" == secret.read_now()


def test_a_secret_in_the_environment_is_read_from_there(monkeypatch):
    """A variable that is not set is a KeyError, one that is gives its value."""
    secret = Secret(variable="MESHREGISTRY_TEST_TOKEN")
    monkeypatch.delenv("MESHREGISTRY_TEST_TOKEN", raising=False)
    with pytest.raises(KeyError):
        secret.read_now()
    monkeypatch.setenv("MESHREGISTRY_TEST_TOKEN", "third")
    assert "third" == secret.read_now()


def test_an_inline_secret_is_itself_and_none_is_empty(run_async):
    """The value is given to whoever asks for it by name."""
    assert PLANTED == run_async(Secret(PLANTED).read())
    assert "" == Secret().read_now()
