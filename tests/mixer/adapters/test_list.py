"""``list`` looks for a value in a list."""

from __future__ import annotations

import asyncio
import gc
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from meshregistry.errors import MixerError
from meshregistry.mixer.adapters import _list
from meshregistry.mixer.adapters._lists import contains, entries_of, symbol
from meshregistry.mixer.spi import Code, ListEntry

INSTANCES = ("x: listentry {value: source.name}",)


class Provider:
    """A web server with a list."""

    def __init__(self):
        self.body, self.status, self.asked = "ann\n", 200, 0

    async def answer(self, request):
        self.asked += 1
        return web.Response(status=self.status, text=self.body)


async def eventually(is_so):
    """Wait until something is so."""
    while not is_so():  # noqa: ASYNC110 - what is awaited happens in the handler's task
        await asyncio.sleep(0.001)


@asynccontextmanager
async def provider():
    """It, and its URL."""
    made = Provider()
    app = web.Application()
    app.router.add_get("/list", made.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield made, f"http://127.0.0.1:{runner.addresses[0][1]}/list"
    finally:
        await runner.cleanup()


async def said(handler, value):
    """Code and text of the answer for a value."""
    answer = await handler.check(ListEntry(value=value))
    return Code(answer.status.code), answer.status.message


@pytest.fixture
def asked(adapters, run_async):
    """The answer for a value, of a list that the configuration has."""

    def ask(value, params):
        async def main():
            async with adapters.running("list", f"{{{params}}}", INSTANCES) as (handler, _):
                return await handler.check(ListEntry(value=value))

        return run_async(main())

    return ask


@pytest.mark.parametrize(
    ("value", "blacklist", "code", "message"),
    [
        ("ann", "false", Code.OK, ""),
        ("ben", "false", Code.PERMISSION_DENIED, "ben is not whitelisted"),
        ("ann", "true", Code.PERMISSION_DENIED, "ann is blacklisted"),
        ("ben", "true", Code.OK, ""),
        ("", "false", Code.PERMISSION_DENIED, " is not whitelisted"),
        ("", "true", Code.OK, ""),
        (7, "true", Code.INVALID_ARGUMENT, "neither a text nor an IP address"),
        (None, "true", Code.INVALID_ARGUMENT, "neither a text nor an IP address"),
    ],
)
def test_who_is_in_the_list(asked, value, blacklist, code, message):
    """A whitelist allows, a blacklist denies; clients may keep the answer for 5 minutes.

    A header that is absent is the empty text, and that is in no blacklist.
    """
    answer = asked(value, f"overrides: [ann], blacklist: {blacklist}")
    assert code == answer.status.code
    assert answer.status.message.endswith(message)
    assert (300.0, 10_000) == (answer.valid_duration, answer.valid_use_count)


def test_how_long_answers_hold_is_configured(asked):
    """By cachingInterval and cachingUseCount."""
    answer = asked("a", "overrides: [a], cachingInterval: 1s, cachingUseCount: 3")
    assert (1.0, 3) == (answer.valid_duration, answer.valid_use_count)


@pytest.mark.parametrize(
    ("kind", "entry", "value", "is_found"),
    [
        ("STRINGS", "Ann", "ann", False),
        ("CASE_INSENSITIVE_STRINGS", "Ann", "aNN", True),
        ("CASE_INSENSITIVE_STRINGS", "Straße", "STRASSE", True),
        ("REGEX", "^a+$", "aaa", True),
        ("REGEX", "b", "abc", True),
        ("REGEX", "^b", "abc", False),
        ("IP_ADDRESSES", "10.0.0.0/8", "10.1.2.3", True),
        ("IP_ADDRESSES", "10.0.0.1/8", "10.1.2.3", True),
        ("IP_ADDRESSES", "10.0.0.1", "10.0.0.2", False),
        ("IP_ADDRESSES", "10.0.0.1", "::ffff:10.0.0.1", True),
        ("IP_ADDRESSES", "::ffff:10.0.0.1", "10.0.0.1", True),
        ("IP_ADDRESSES", "::ffff:10.0.0.1", "::ffff:10.0.0.1", True),
        ("IP_ADDRESSES", "::ffff:10.0.0.0/104", "10.1.2.3", True),
        ("IP_ADDRESSES", "::ffff:10.0.0.0/104", "11.1.2.3", False),
        ("IP_ADDRESSES", "::/0", "10.0.0.1", False),
        ("IP_ADDRESSES", "2001:db8::1", "2001:db8::1", True),
        ("IP_ADDRESSES", "2001:db8::1", "2001:db8::2", False),
        ("IP_ADDRESSES", "0.0.0.0/0", "::1", False),
    ],
)
def test_entries_are_of_a_kind(kind, entry, value, is_found):
    """A bare IPv6 address is one address, and not the 2^96 of the original."""
    assert is_found is contains([entry], kind)(value)


@pytest.mark.parametrize(
    ("kind", "body", "entries"),
    [
        ("STRINGS", " a \r\n\n b\n", ("a", "b")),
        ("REGEX", "a.\n", ("a.",)),
        ("IP_ADDRESSES", "whitelist: [10.0.0.1, 10.0.0.0/8]", ("10.0.0.1", "10.0.0.0/8")),
    ],
)
def test_bodies_have_a_form(kind, body, entries):
    """Lines, or YAML for addresses."""
    assert entries == entries_of(body, kind)


@pytest.mark.parametrize(
    "body",
    [
        *("10.0.0.1", "{", "whitelist: 3", "[1]", "whitelist: [1]", "whitelist: [[10.0.0.1]]"),
        *(f"whitelist: [!!{tag} '']" for tag in ("bool", "float", "int", "timestamp")),
        "[" * 100_000,
    ],
)
def test_a_body_of_another_form_is_refused(body):
    """And leaves the former list in force."""
    with pytest.raises(ValueError, match=r"body .*; write whitelist: \[10"):
        entries_of(body, "IP_ADDRESSES")


def test_a_text_that_is_no_address_is_an_invalid_argument(asked):
    """In a list of addresses."""
    answer = asked("ann", "overrides: [10.0.0.1], entryType: IP_ADDRESSES")
    assert Code.INVALID_ARGUMENT == answer.status.code
    assert "ann is not a valid IP address" == answer.status.message


def test_addresses_are_looked_for_as_such(asked):
    """Attributes hold their bytes."""
    answer = asked(b"\x0a\x00\x00\x01", "overrides: [10.0.0.0/24], entryType: IP_ADDRESSES")
    assert answer.status.is_ok
    assert symbol(b"\x0a\x00") is None


def test_a_list_is_fetched_and_followed(adapters, run_async):
    """The first is there when the handler starts; overrides are added; ttl ends it."""

    async def main():
        async with provider() as (web_server, url):
            params = f"{{providerUrl: '{url}', overrides: [zoe], refreshInterval: 1s, ttl: 2s}}"
            async with adapters.running("list", params, INSTANCES) as (handler, context):
                assert (Code.OK, "") == await said(handler, "ann")
                assert (Code.OK, "") == await said(handler, "zoe")

                async def fetched():
                    before = context.counts["fetches"] + context.counts["failed_fetches"]
                    await context.clock.advance(1)
                    await eventually(
                        lambda: (
                            before < context.counts["fetches"] + context.counts["failed_fetches"]
                        )
                    )

                web_server.body = "ben\n"
                await fetched()
                assert (Code.OK, "") == await said(handler, "ben")
                assert Code.PERMISSION_DENIED == (await said(handler, "ann"))[0]
                await fetched()
                assert 2 == context.counts["changed_lists"]
                web_server.status = 503
                await fetched()
                await fetched()
                assert (Code.OK, "") == await said(handler, "ben")
                await fetched()
                with pytest.raises(MixerError, match="the answer is 503, not 200"):
                    await said(handler, "ben")
                assert 1 == context.counts["purged_lists"]
                web_server.status = 200
                await fetched()
                assert (Code.OK, "") == await said(handler, "ben")

    run_async(main())


def test_a_list_that_is_never_there_fails_checks(adapters, run_async):
    """Neither allowed nor denied: the client's own policy decides."""

    async def main():
        params = "{providerUrl: 'http://127.0.0.1:1/list'}"
        async with adapters.running("list", params, INSTANCES) as (handler, context):
            with pytest.raises(MixerError, match=r"there is no list of http://127\.0\.0\.1:1/list"):
                await said(handler, "ann")
            assert 1 == context.counts["failed_fetches"]

    run_async(main())


def test_a_list_that_is_too_large_leaves_the_former_one(adapters, run_async, monkeypatch):
    """No provider fills the memory of a server."""
    monkeypatch.setattr(_list, "_LARGEST", 1 << 20)

    async def main():
        async with provider() as (web_server, url):
            params = f"{{providerUrl: '{url}', refreshInterval: 1s}}"
            async with adapters.running("list", params, INSTANCES) as (handler, context):
                web_server.body = "ben\n" * (1 << 18) + "x"
                await context.clock.advance(1)
                await eventually(lambda: context.counts["failed_fetches"])
                assert (Code.OK, "") == await said(handler, "ann")
                assert 1 == context.counts["fetches"]

    run_async(main())


def test_an_outage_is_told_once(adapters, run_async, tmp_path, caplog):
    """And so is its end; a list is looked for each minute, however long it is away."""
    caplog.set_level("INFO", logger="meshregistry.mixer")
    file = tmp_path / "allowed.txt"

    async def main():
        async with adapters.running("list", "{providerUrl: 'file:allowed.txt'}", INSTANCES) as (
            handler,
            context,
        ):
            for count in (2, 3):
                await context.clock.advance(60)
                await eventually(lambda count=count: context.counts["failed_fetches"] == count)
            file.write_text("ann\n", encoding="utf-8")
            for count in (1, 2):
                await context.clock.advance(60)
                await eventually(lambda count=count: context.counts["fetches"] == count)
            return await said(handler, "ann")

    assert (Code.OK, "") == run_async(main())
    told = [one for one in caplog.messages if "the list of file:allowed.txt" in one]
    assert ["cannot be had", "is there again"] == [
        one.partition("allowed.txt ")[2].partition(":")[0] for one in told
    ]


def test_a_value_that_no_list_can_have_is_a_fault(adapters):
    """Found before every check fails with it."""
    plan, faults = adapters.plan("list", "{overrides: [a]}", ("i: listentry {value: source.port}",))
    assert (None, 1) == (plan, len(faults))
    assert faults[0].endswith(" is INT64, and lists have texts and IP addresses")


def test_a_start_that_is_given_up_leaves_no_connection(adapters, run_async):
    """Nobody closes a handler that did not start."""

    async def main():
        arrived, gone = asyncio.Event(), asyncio.Event()

        async def hang(reader, writer):
            arrived.set()
            await reader.read()
            writer.close()
            gone.set()

        server = await asyncio.start_server(hang, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        params = f"{{providerUrl: 'http://127.0.0.1:{port}/list'}}"
        handler, _ = adapters.open("list", params, INSTANCES)
        async with server:
            start = asyncio.create_task(handler.start())
            await arrived.wait()
            start.cancel()
            await asyncio.gather(start, return_exceptions=True)
            await gone.wait()
        del handler, start
        # aiohttp tells the loop of a session that nobody closed.
        gc.collect()

    run_async(main())


def test_a_file_is_a_provider(adapters, run_async, tmp_path):
    """Relative to the configuration's folder."""
    (tmp_path / "allowed.txt").write_text("ann\n", encoding="utf-8")

    async def main():
        params = "{providerUrl: 'file:allowed.txt'}"
        async with adapters.running("list", params, INSTANCES) as (handler, _):
            return await said(handler, "ann"), (await said(handler, "ben"))[0]

    assert ((Code.OK, ""), Code.PERMISSION_DENIED) == run_async(main())


@pytest.mark.parametrize(
    ("params", "fault"),
    [
        ("{}", "spec.params: there is no list; write providerUrl, overrides or both"),
        (
            "{providerUrl: 'http:///x'}",
            (
                "spec.params.providerUrl: 'http:///x' is no address of a list; write http://, "
                "https:// with a host, or file: with a path"
            ),
        ),
        (
            "{overrides: [a], refreshInterval: 100ms}",
            "spec.params.refreshInterval: must be at least 1s",
        ),
        ("{overrides: [a], ttl: 1s}", "spec.params.ttl: must be at least the refresh interval"),
        (
            "{overrides: [a], cachingUseCount: -1}",
            "spec.params.cachingUseCount: must not be negative",
        ),
        (
            "{overrides: ['('], entryType: REGEX}",
            "spec.params.overrides: '(' is not a regular expression (RE2): missing ): (",
        ),
        (
            "{overrides: [ann], entryType: IP_ADDRESSES}",
            "spec.params.overrides: 'ann' is neither an address nor a network",
        ),
    ],
)
def test_faults_are_found_before_anything_runs(adapters, params, fault):
    """With their field and a remedy."""
    assert (None, [fault]) == adapters.plan("list", params, INSTANCES)


def test_listchecker_is_another_name(adapters):
    """As in documents of old."""
    plan, faults = adapters.plan("listchecker", "{overrides: [a]}", INSTANCES)
    assert ("list", []) == (plan.adapter.name, faults)
