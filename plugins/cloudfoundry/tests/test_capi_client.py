"""Facts of asking the Cloud Controller: pages, tokens, limits, on the double that lives in the test."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

import pytest
from attrs import evolve
from fake_capi import FakeCapi

from meshregistry.errors import RegistryAuthError, RegistryProtocolError, RegistryUnavailable
from meshregistry.spi import Secret
from meshregistry.testing import RecordingSink, context
from meshregistry_cloudfoundry import CapiConfig, connect_capi, open_capi

PLANTED = "planted-secret"


class QuickClock:
    """Time as it is; whoever sleeps is noted and woken early."""

    def __init__(self):
        self.slept = []

    def now(self):
        return time.monotonic()

    async def sleep(self, seconds):
        self.slept.append(seconds)
        await asyncio.sleep(min(seconds, 0.02))


@contextlib.asynccontextmanager
async def following(capi, **options):
    """The sink of a registry that runs, and the task."""
    given = {"user": "admin", "password": Secret("good"), "timeout": 2.0, **options}
    if "client_secret" in options or "refresh_token" in options:
        given = {key: given[key] for key in given if key not in ("user", "password")}
    config = CapiConfig(api=capi.address, **given)
    made = context(clock=QuickClock())
    async with connect_capi(config, made) as client:
        made = evolve(made, client=client)
        sink = RecordingSink()
        sink.context = made
        task = asyncio.create_task(open_capi(config, made).run(sink))
        try:
            yield sink, task
        finally:
            task.cancel()
            await asyncio.wait([task])


async def ended(task):
    """What ended it."""
    async with asyncio.timeout(5):
        await asyncio.wait([task])
    return task.exception()


async def listed(capi, **options):
    """Records and faults of the first listing."""
    async with following(capi, **options) as (sink, _):
        await sink.wait_for(lambda sink: sink.calls)
        first = sink.calls[0]
        return {one.key: one for one in first.value}, {one.key: str(one) for one in first.faulty}


def endpoints(record):
    """As text."""
    return [f"{one} {one.service_port}" for one in record.endpoints]


class TestPages:
    def test_every_page_is_read(self, run_async):
        """Each once."""

        async def main():
            async with FakeCapi() as capi:
                app = capi.push("cart", "10.0.0.1")
                for number in range(7):
                    capi.route(f"r{number}", app)
                records, _ = await listed(capi, per_page=3)
                assert 7 == len(records)
                pages = [path for _, path in capi.asked if path.startswith("/v3/routes")]
                assert 3 == len(pages)
                assert all("order_by=created_at" in one for one in pages)

        run_async(main())

    def test_a_set_that_moves_is_read_again(self, run_async):
        """A row that slips onto an earlier page would be skipped, and its route removed."""

        async def main():
            async with FakeCapi() as capi:
                app = capi.push("cart", "10.0.0.1")
                guids = [capi.route(f"r{number}", app) for number in range(7)]

                def moves(kind, page):
                    if (kind, page) == ("routes", 2):
                        capi.routes.pop(guids[0], None)

                capi.on_page = moves
                records, _ = await listed(capi, per_page=3)
                assert {f"r{number}.apps.example" for number in range(1, 7)} == set(records)

        run_async(main())

    def test_a_set_that_never_rests_fails_the_poll(self, run_async):
        """Half of it is published as little as half of an answer."""

        async def main():
            async with FakeCapi() as capi:
                app = capi.push("cart", "10.0.0.1")
                for number in range(7):
                    capi.route(f"r{number}", app)
                capi.on_page = lambda kind, page: capi.route(f"x{len(capi.asked)}", app)
                async with following(capi, per_page=3) as (sink, task):
                    assert isinstance(await ended(task), RegistryUnavailable)
                    assert () == sink.calls

        run_async(main())

    def test_a_page_on_another_host_is_not_asked_for(self, run_async):
        """The token would go there."""

        async def main():
            async with FakeCapi() as capi:
                app = capi.push("cart", "10.0.0.1")
                for number in range(3):
                    capi.route(f"r{number}", app)
                # The platform calls itself by another name than the settings.
                options = {"per_page": 2}
                capi.address = capi.address.replace("127.0.0.1", "localhost")
                capi.self_address = "http://127.0.0.2:1"
                async with following(capi, **options) as (_, task):
                    error = await ended(task)
                    assert isinstance(error, RegistryProtocolError)
                    assert "127.0.0.2" in str(error)

        run_async(main())


class TestTokens:
    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({}, "password"),
            ({"client_id": "mesh", "client_secret": Secret("shh")}, "client_credentials"),
            ({"refresh_token": Secret("given")}, "refresh_token"),
        ],
    )
    def test_each_grant_works(self, run_async, options, expected):
        """By the credentials that are written."""

        async def main():
            async with FakeCapi() as capi:
                capi.route("cart", capi.push("cart", "10.0.0.1"))
                records, _ = await listed(capi, **options)
                assert {"cart.apps.example"} == set(records)
                assert [expected] == capi.granted

        run_async(main())

    def test_a_token_is_renewed_before_it_ends_and_when_it_is_refused(self, run_async):
        """By the refresh token that came with it; nothing of the data moves."""

        async def main():
            async with FakeCapi() as capi:
                capi.lifetime = 0.1
                async with following(capi) as (sink, _):
                    await sink.wait_for(lambda sink: len(sink.calls) > 8)
                    capi.lifetime = 600
                    capi.tokens.clear()
                    before = len(sink.calls)
                    await sink.wait_for(lambda sink: len(sink.calls) > before + 4)
                    assert {"replace"} == set(sink.methods)
                assert "password" == capi.granted[0]
                assert {"refresh_token"} == set(capi.granted[1:])

        run_async(main())

    def test_a_refused_refresh_token_is_replaced_by_the_password(self, run_async):
        """It ends with the session, the password does not."""

        async def main():
            async with FakeCapi() as capi, following(capi) as (sink, _):
                await sink.wait_for(lambda sink: sink.calls)
                capi.refresh_tokens.clear()
                capi.tokens.clear()
                before = len(sink.calls)
                await sink.wait_for(lambda sink: len(sink.calls) > before + 2)
                assert {"replace"} == set(sink.methods)
                assert ["password", "refresh_token", "password"] == capi.granted

        run_async(main())

    def test_refused_credentials_end_the_attempt(self, run_async):
        """At the start, and later."""

        async def main():
            async with FakeCapi() as capi:
                async with following(capi) as (sink, task):
                    await sink.wait_for(lambda sink: sink.calls)
                    capi.password = "other"
                    capi.refresh_tokens.clear()
                    capi.tokens.clear()
                    assert isinstance(await ended(task), RegistryAuthError)
                async with following(capi) as (_, task):
                    assert isinstance(await ended(task), RegistryAuthError)

        run_async(main())

    def test_secrets_are_never_printed(self, run_async, caplog):
        """Although the double's UAA repeats what it was sent, as some proxies do."""
        caplog.set_level(logging.DEBUG)

        async def main():
            async with FakeCapi() as capi:
                for options in (
                    {"password": Secret(PLANTED)},
                    {"refresh_token": Secret(PLANTED)},
                    {"client_secret": Secret(PLANTED)},
                ):
                    async with following(capi, **options) as (_, task):
                        error = await ended(task)
                        shown = []
                        while error is not None:
                            shown.append(repr(error))
                            error = error.__cause__ or error.__context__
                        assert "401 unauthorized" in shown[0]
                        assert PLANTED not in "".join(shown) + caplog.text
                config = CapiConfig(api=capi.address, user="a", password=Secret(PLANTED))
                assert PLANTED not in repr(config)

        run_async(main())


class TestTrouble:
    def test_the_rate_limit_is_waited_for(self, run_async):
        """As long as the server says, by its own clock."""

        async def main():
            async with FakeCapi() as capi:
                capi.limit, capi.reset = 1, 30.0
                async with following(capi) as (sink, task):
                    async with asyncio.timeout(5):
                        while not sink.context.counts["rate_limited"]:  # noqa: ASYNC110 - a counter tells nobody
                            await asyncio.sleep(0.01)
                    assert not task.done()
                    capi.limit = None
                    slept = sink.context.clock.slept
                    assert any(27.0 < one < 31.0 for one in slept)

        run_async(main())

    def test_a_long_pause_fails_the_poll_and_keeps_the_data(self, run_async):
        """The error says what to change."""

        async def main():
            async with FakeCapi() as capi, following(capi) as (sink, _):
                await sink.wait_for(lambda sink: sink.calls)
                capi.limit, capi.reset = 0, 3000.0
                await sink.wait_for(lambda sink: "degrade" in sink.methods)
                error = next(one.value for one in sink.calls if one.method == "degrade")
                assert isinstance(error, RegistryUnavailable)
                assert "make interval longer" in str(error)

        run_async(main())

    def test_a_platform_without_uaa_is_named(self, run_async):
        """As a wrong address is."""

        async def main():
            async with FakeCapi() as capi:
                capi.uaa_address = 7
                async with following(capi) as (_, task):
                    error = await ended(task)
                    assert isinstance(error, RegistryProtocolError)
                    assert "does not say where UAA is" in str(error)

        run_async(main())

    def test_nobody_there_is_an_outage(self, run_async):
        """With the address."""

        async def main():
            async with FakeCapi() as capi:
                pass
            async with following(capi) as (_, task):
                error = await ended(task)
                assert isinstance(error, RegistryUnavailable)
                assert capi.address in str(error)

        run_async(main())

    def test_instances_that_cannot_be_told_fail_the_poll(self, run_async):
        """One answer of many that is missing is no app without instances."""

        async def main():
            async with FakeCapi() as capi:
                for number in range(3):
                    capi.route(f"r{number}", capi.push(f"r{number}", "10.0.0.1"))
                async with following(capi, endpoints="instances") as (sink, task):
                    await sink.wait_for(lambda sink: sink.calls)
                    capi.broken = True
                    await sink.wait_for(lambda sink: "degrade" in sink.methods)
                    capi.broken = False
                    before = len(sink.calls)
                    await sink.wait_for(lambda sink: "replace" in sink.methods[before:])
                    assert not task.done()
                    assert 3 == len(sink.records())
                    error = next(one.value for one in sink.calls if one.method == "degrade")
                    assert isinstance(error, RegistryUnavailable)
                    assert "CF-ServiceUnavailable" in str(error)

        run_async(main())

    def test_a_token_refused_for_instances_ends_the_attempt(self, run_async):
        """It is the token for everything."""

        async def main():
            async with FakeCapi() as capi:
                capi.route("cart", capi.push("cart", "10.0.0.1"))

                def revoke(kind, _page):
                    if kind == "processes":
                        capi.tokens.clear()
                        capi.refresh_tokens.clear()
                        capi.password = "other"

                capi.on_page = revoke
                async with following(capi, endpoints="instances") as (_, task):
                    assert isinstance(await ended(task), RegistryAuthError)

        run_async(main())

    def test_what_is_no_cloud_controller_is_named(self, run_async):
        """A login page, JSON that is none, silence, and a port that speaks no TLS."""

        async def main():
            answers = {
                "text/html": b"<html>",
                "application/json": b"{nonsense",
                "silent": b"",
            }
            for kind, body in answers.items():

                async def answer(reader, writer, kind=kind, body=body):
                    await reader.readline()
                    if kind != "silent":
                        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
                        writer.write(head.encode() + body)
                    else:
                        await reader.read()
                    writer.close()

                server = await asyncio.start_server(answer, "127.0.0.1", 0)
                async with server:
                    capi = FakeCapi()
                    capi.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
                    async with following(capi, timeout=0.2) as (_, task):
                        error = await ended(task)
                        assert isinstance(error, RegistryProtocolError | RegistryUnavailable)
                        assert capi.address in str(error)
                    if kind != "silent":
                        capi.address = capi.address.replace("http:", "https:")
                        async with following(capi, timeout=0.5) as (_, task):
                            error = await ended(task)
                            assert isinstance(error, RegistryUnavailable)
                            assert "TLS with" in str(error)

        run_async(main())

    def test_files_that_cannot_be_read_are_named(self, run_async, tmp_path):
        """Of a secret a refusal, of the authorities an outage."""

        async def main():
            async with FakeCapi() as capi:
                absent = tmp_path / "absent"
                async with following(capi, password=Secret(file=absent)) as (_, task):
                    error = await ended(task)
                    assert isinstance(error, RegistryAuthError)
                    assert "check password_file" in str(error)
                async with following(capi, ca_file=absent) as (_, task):
                    error = await ended(task)
                    assert isinstance(error, RegistryUnavailable)
                    assert "check ca_file" in str(error)

        run_async(main())
