"""Registering while a context is open: renewed, taken back, and what goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import pytest
from attrs import define, field, frozen

from meshregistry import ServiceRecord, Settings
from meshregistry.errors import ConfigError, RegistryUnavailable
from meshregistry.pilot import registered
from meshregistry.pilot._wiring import load_plugins
from meshregistry.spi import RegistryKind, hookimpl
from meshregistry.testing import ManualClock

RECORD = ServiceRecord.parse("reviews.shop", port=80, endpoints=["10.0.0.1:80"])


@frozen(kw_only=True)
class BookConfig:
    """Options of the double."""

    shelf: str = "a"


@define(eq=False)
class Book:
    """A backend in memory, its own registrar and its own lease."""

    calls: list = field(factory=list)
    failures: list = field(factory=list)
    is_revoking: bool = True
    contexts: list = field(factory=list)

    @contextlib.asynccontextmanager
    async def connect(self, config, context):
        self.calls.append("connect")
        try:
            yield f"client of {config.shelf}"
        finally:
            self.calls.append("disconnect")

    def registrar(self, config, context):
        self.contexts.append(context)
        return self

    async def register(self, record, ttl):
        self.calls.append((record, ttl))
        return self

    async def renew(self):
        self.calls.append("renew")
        if self.failures:
            raise self.failures.pop(0)

    async def deregister(self):
        self.calls.append("deregister")
        if not self.is_revoking:
            raise RegistryUnavailable("the book is closed; open it")

    @hookimpl
    def meshregistry_register_registries(self):
        return RegistryKind(
            name="book",
            config_class=BookConfig,
            open=lambda config, context: None,
            connect=self.connect,
            registrar=self.registrar,
        )


def settings(**options):
    """One source of the double."""
    return Settings.from_dict({"sources": [{"id": "one", "kind": "book", **options}]})


def held(book, clock, source="one", given=None):
    """The context under test, on this backend."""
    plugins = load_plugins(plugins=[book], entry_points=False, environ={})
    return registered(
        given or settings(shelf="b"), source, RECORD, ttl=9.0, plugins=plugins, clock=clock
    )


def test_it_lasts_while_the_context_is_open(run_async):
    """Connected with the source's options, registered, renewed three times in its time, ended."""
    book, clock = Book(), ManualClock()

    async def main():
        async with held(book, clock):
            assert "client of b" == book.contexts[0].client
            await clock.sleeping()
            await clock.advance(9)

    run_async(main())
    assert [
        *("connect", (RECORD, 9.0), "renew", "renew", "renew", "deregister", "disconnect")
    ] == book.calls


def test_it_ends_with_an_error_too(run_async):
    """What the body raises comes out, after the registration was taken back."""
    book = Book()

    async def main():
        with pytest.raises(LookupError):
            async with held(book, ManualClock()):
                raise LookupError

    run_async(main())
    assert ["deregister", "disconnect"] == book.calls[-2:]


def test_renewals_that_fail_are_tried_again(run_async, caplog):
    """Logged once while they fail alike, and once when they work again."""
    caplog.set_level(logging.INFO, "meshregistry.pilot")
    fault = RegistryUnavailable("the book is closed; open it")
    book, clock = Book(failures=[fault, fault]), ManualClock()

    async def main():
        async with held(book, clock):
            await clock.sleeping()
            await clock.advance(12)

    run_async(main())
    assert 4 == book.calls.count("renew")
    assert [
        "source one: the registration was not renewed: the book is closed; open it",
        "source one: the registration is renewed again",
    ] == caplog.messages


def test_one_that_cannot_be_taken_back_is_logged(run_async, caplog):
    """It ends with its time to live; that is no error of the caller's."""

    async def main():
        async with held(Book(is_revoking=False), ManualClock()):
            await asyncio.sleep(0)

    run_async(main())
    (message,) = caplog.messages
    assert "source one: the registration ends by itself within 9 s" in message


def test_a_fault_of_the_plugin_comes_out(run_async):
    """What is no error of a registry ends the renewals, and is raised in the end."""
    book, clock = Book(failures=[ZeroDivisionError()]), ManualClock()

    async def main():
        async with held(book, clock):
            await clock.sleeping()
            await clock.advance(9)

    with pytest.raises(ZeroDivisionError):
        run_async(main())
    assert 1 == book.calls.count("renew")


@pytest.mark.parametrize(
    ("source", "given", "message"),
    [
        ("two", None, "the settings have no source two"),
        ("one", settings(shelve="c"), "shelve"),
        (
            "one",
            Settings.from_dict({"sources": [{"id": "one", "kind": "memory"}]}),
            "services cannot be registered in a registry of kind memory",
        ),
    ],
)
def test_mistakes_are_explained(run_async, source, given, message):
    """A source that is not there, wrong options, a kind that cannot be written to."""
    book = Book()

    async def main():
        async with held(book, ManualClock(), source, given):
            pass

    with pytest.raises(ConfigError, match=message):
        run_async(main())
    assert [] == book.calls
