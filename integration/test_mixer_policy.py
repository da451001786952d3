"""Policy with real parts: quotas in a real Redis, a real OPA, lists over HTTP, another process.

Requests go the whole way: our client, Mixer's protocol, our server, its adapters.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import redis
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from meshregistry.mixer import ClientOptions, Code, FailPolicy, MixerClient
from meshregistry.mixer.adapters import ADAPTERS
from meshregistry.mixer.adapters._redis_scripts import FIXED_WINDOW, ROLLING_WINDOW
from meshregistry.mixer.server import MixerServer
from servers import mixer_backend, programs
from servers.needed import installed
from servers.opa import Opa
from servers.ports import free_port
from servers.process import ChildProcess
from servers.redis import REDIS, Redis

ANN, BEN = ({"source.user": name, "source.name": name} for name in ("ann", "ben"))
# Nothing is kept by the client, so that each check is the server's.
DIRECT = ClientOptions(check_cache_size=0, quota_cache_size=0)


@pytest.fixture(scope="session")
def redis_folder():
    """Where a real Redis is."""
    return installed(REDIS)


def document(kind, name, spec):
    """One document of Mixer's."""
    return (
        f"apiVersion: config.istio.io/v1alpha2\nkind: {kind}\n"
        f"metadata: {{name: {name}, namespace: istio-system}}\nspec: {spec}\n"
    )


def configured(handler, instance):
    """Documents that send each request's instance to a handler."""
    return "---\n".join(
        (
            document("handler", "h", handler),
            document("instance", "x", instance),
            document("rule", "r", "{actions: [{handler: h, instances: [x]}]}"),
        )
    )


QUOTA = "{compiledTemplate: quota, params: {dimensions: {user: 'source.user | \"\"'}}}"
LISTENTRY = "{compiledTemplate: listentry, params: {value: source.name}}"


def quotas(address, limit, more=""):
    """A configuration with one quota in Redis."""
    return configured(
        f"{{compiledAdapter: redisquota, params: {{redisServerUrl: '{address}'{more},"
        f" quotas: [{{name: x.instance.istio-system, {limit}}}]}}}}",
        QUOTA,
    )


@asynccontextmanager
async def serving(folder, text, *, servers=1, options=DIRECT):
    """Servers with these documents, and a client of each."""
    (folder / "mixer.yaml").write_text(text, encoding="utf-8")
    async with AsyncExitStack() as stack:
        clients = []
        for _ in range(servers):
            server = MixerServer("127.0.0.1:0", config=folder, adapters=ADAPTERS)
            await stack.enter_async_context(server)
            assert ((), [""]) == (server.status().faults, [h[1] for h in server.status().handlers])
            client = MixerClient(server.address, options=options)
            clients.append(await stack.enter_async_context(client))
        yield clients


@pytest.fixture
def store(redis_folder, tmp_path):
    """A real Redis, which is not started."""
    return Redis(redis_folder, tmp_path)


@pytest.fixture
def mixer_folder(tmp_path):
    """For documents."""
    folder = tmp_path / "mixer"
    folder.mkdir()
    return folder


# --- Redis --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "limit",
    [
        "maxAmount: 25, validDuration: 1h",
        "maxAmount: 25, validDuration: 1h, bucketDuration: 1s, rateLimitAlgorithm: ROLLING_WINDOW",
    ],
)
def test_a_quota_runs_out_over_two_servers(store, mixer_folder, run_async, limit):
    """Exactly, with everybody asking at once; another user has his own."""

    async def main():
        async with (
            store,
            serving(mixer_folder, quotas(store.address, limit), servers=2) as clients,
        ):
            asked = [
                client.check(ANN, quotas={"x": 1})
                for client in itertools.islice(itertools.cycle(clients), 80)
            ]
            results = await asyncio.gather(*asked)
            codes = Counter(one.status.code for one in results)
            assert {Code.OK: 25, Code.RESOURCE_EXHAUSTED: 55} == codes
            assert (await clients[0].check(BEN, quotas={"x": 25})).is_allowed
            assert not (await clients[1].check(BEN, quotas={"x": 1})).is_allowed

    run_async(main())


@pytest.mark.parametrize(
    "more",
    ["", ", rateLimitAlgorithm: ROLLING_WINDOW, bucketDuration: 1s"],
    ids=["fixed", "rolling"],
)
def test_no_amount_is_rounded(store, mixer_folder, run_async, more):
    """Redis's scripts count with doubles; the largest limit is the largest that those have whole."""
    limit = f"maxAmount: {1 << 53}, validDuration: 1h{more}"

    async def main():
        async with store, serving(mixer_folder, quotas(store.address, limit)) as (client,):
            for amount, granted in (
                ((1 << 53) + 1, 0),
                ((1 << 63) - 1, 0),
                ((1 << 53) - 1, (1 << 53) - 1),
                (2, 0),
                (1, 1),
                (1, 0),
            ):
                assert granted == (await client.check(ANN, quotas={"x": amount})).granted["x"]

    run_async(main())


def test_a_window_that_is_over_gives_again(store, mixer_folder, run_async):
    """By Redis's own clock."""

    async def main():
        async with (
            store,
            serving(
                mixer_folder, quotas(store.address, "maxAmount: 2, validDuration: 300ms"), servers=2
            ) as (first, second),
        ):
            for number in itertools.count():
                user = {"source.user": f"u{number}"}
                began = time.monotonic()
                assert (await first.check(user, quotas={"x": 2})).is_allowed
                is_given = (await second.check(user, quotas={"x": 1})).is_allowed
                # Else the window may have been over by then, which says nothing.
                if time.monotonic() - began < 0.3:
                    break
            assert not is_given
            async with asyncio.timeout(10):
                while not (await second.check(user, quotas={"x": 1})).is_allowed:
                    await asyncio.sleep(0.02)

    run_async(main())


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        ("UNAVAILABLE", Code.OK),
        ("GRANT", Code.OK),
        ("DENY", Code.RESOURCE_EXHAUSTED),
    ],
)
def test_without_redis_the_stated_policy_holds(store, mixer_folder, run_async, policy, code):
    """And the quota, as soon as Redis is back; it is empty then."""

    async def main():
        limit = "maxAmount: 2, validDuration: 1h"
        async with (
            store,
            serving(mixer_folder, quotas(store.address, limit, f", onFailure: {policy}")) as (
                client,
            ),
        ):
            assert (await client.check(ANN, quotas={"x": 2})).is_allowed
            assert not (await client.check(ANN, quotas={"x": 1})).is_allowed
            await store.stop(signal.SIGKILL)
            for _ in range(20):
                assert code == (await client.check(ANN, quotas={"x": 1})).status.code
            # To who fails closed only what was granted is.
            closed = await client.check(ANN, quotas={"x": 1}, fail_policy=FailPolicy.CLOSED)
            assert (policy == "GRANT") is closed.is_allowed
            await store.start()
            async with asyncio.timeout(20):
                while await reached(client) is not True:
                    await asyncio.sleep(0.05)

    async def reached(client):
        # Three of two are neither granted by Redis nor refused by a policy that grants.
        user = {"source.user": f"u{next(numbers)}"}
        first = await client.check(user, quotas={"x": 2})
        return first.is_allowed and not (await client.check(user, quotas={"x": 1})).is_allowed

    numbers = itertools.count()
    run_async(main())


@pytest.mark.parametrize(
    ("fail_policy", "is_allowed"), [(FailPolicy.OPEN, True), (FailPolicy.CLOSED, False)]
)
def test_without_redis_a_client_that_takes_in_advance_goes_by_its_policy(
    store, mixer_folder, run_async, fail_policy, is_allowed
):
    """What UNAVAILABLE leaves to it."""

    async def main():
        limit = "maxAmount: 1000, validDuration: 1h"
        options = ClientOptions(fail_policy=fail_policy)
        async with (
            store,
            serving(mixer_folder, quotas(store.address, limit), options=options) as (client,),
        ):
            # From now on the check is known, so that amounts are from the pool.
            await client.check(ANN)
            await store.stop(signal.SIGKILL)

            async def ask():
                await asyncio.sleep(0.005)
                return (await client.check(ANN, quotas={"x": 1})).is_allowed

            async with asyncio.timeout(20):
                # A cold pool grants before the first answer, whatever the policy.
                while await ask() != is_allowed:
                    pass
            assert {is_allowed} == {await ask() for _ in range(40)}

    run_async(main())


class Scripts:
    """The scripts in a real Redis, on a clock of the test."""

    def __init__(self, address):
        host, _, port = address.rpartition(":")
        self.client = redis.Redis(host=host, port=int(port))
        self._scripts = {
            one: self.client.register_script(one) for one in (FIXED_WINDOW, ROLLING_WINDOW)
        }
        self._numbers = itertools.count()

    def quota(self, script, *, limit, window, bucket):
        """A function that asks for an amount of a new quota; times are milliseconds."""
        key, run = f"{{q{next(self._numbers)}}}", self._scripts[script]

        def ask(amount, now, *, is_best_effort=False, dedup=""):
            granted, ttl, left = run(
                keys=[f"{key}.meta", f"{key}.data", f"{key}.{dedup}.meta"],
                args=[
                    *(limit, window * 1000, bucket * 1000, int(is_best_effort), amount),
                    *(1_800_000_000_000_000 + now * 1000, int(bool(dedup))),
                ],
            )
            return granted, ttl / 1000, left

        return ask


@pytest.fixture
def scripts(store, run_async):
    """Runs a function with the scripts of a real Redis."""

    def run(call):
        async def main():
            async with store:
                made = Scripts(store.address)
                try:
                    await asyncio.to_thread(call, made)
                finally:
                    made.client.close()

        run_async(main(), timeout=120)

    return run


STEPS = st.lists(
    st.tuples(st.integers(0, 1500), st.integers(-4, 8).filter(bool), st.booleans()), max_size=30
)


@pytest.mark.parametrize("script", [FIXED_WINDOW, ROLLING_WINDOW], ids=["fixed", "rolling"])
def test_no_window_holds_more_than_the_limit(scripts, script):
    """A rolling one wherever it begins, a fixed one from its first request on."""

    def call(redis_scripts):
        @settings(max_examples=150, deadline=None)
        @given(steps=STEPS, limit=st.integers(0, 15), window=st.integers(200, 3000))
        def holds(steps, limit, window):
            ask = redis_scripts.quota(script, limit=limit, window=window, bucket=100)
            now, grants, begins = 0, [], []
            for pause, amount, is_best_effort in steps:
                now += pause
                granted, ttl, left = ask(amount, now, is_best_effort=is_best_effort)
                assert 0 <= left <= limit
                if amount > 0:
                    assert granted in (range(amount + 1) if is_best_effort else (0, amount))
                else:
                    assert amount <= granted <= 0
                grants.append((now, granted))
                begins.append(now if script is ROLLING_WINDOW else now + ttl - window)
            for begin in begins:
                within = [one for when, one in grants if begin <= when < begin + window]
                # What is given back lets the same amount be taken once more.
                back = -sum(one for one in within if one < 0)
                assert sum(one for one in within if one > 0) <= limit + back

        holds()

    scripts(call)


def test_a_rolling_window_gives_back_in_time(scripts):
    """A whole window after the bucket in which it was taken, and the newest first if asked to."""

    def call(redis_scripts):
        ask = redis_scripts.quota(ROLLING_WINDOW, limit=5, window=1000, bucket=100)
        assert (2, 1000, 3) == ask(2, 0)
        assert (3, 1000, 0) == ask(5, 900, is_best_effort=True)
        assert (0, 1000, 0) == ask(1, 1099)
        assert (2, 1000, 0) == ask(2, 1100)
        assert (-4, 1000, 4) == ask(-4, 1150)
        assert (4, 1000, 0) == ask(9, 1160, is_best_effort=True)
        # One of what was taken at 900 was left.
        assert (1, 1000, 0) == ask(9, 2000, is_best_effort=True)
        assert (5, 1000, 0) == ask(5, 9000)

    scripts(call)


@pytest.mark.parametrize("script", [FIXED_WINDOW, ROLLING_WINDOW], ids=["fixed", "rolling"])
def test_an_id_is_granted_once(scripts, script):
    """With what was granted first, for as long as that still holds, and a second at least."""

    def call(redis_scripts):
        ask = redis_scripts.quota(script, limit=10, window=1000, bucket=100)
        assert (4, 1000, 6) == ask(4, 0, dedup="a")
        assert (4, 400, 6) == ask(4, 600, dedup="a")
        assert 6 == ask(9, 600, dedup="b", is_best_effort=True)[0]
        assert 0 == ask(1, 700, dedup="c")[0]
        assert 0 == ask(1, 700, dedup="c")[0]
        assert 4 == ask(4, 5000, dedup="a")[0]
        assert 6 == ask(6, 5000, dedup="d")[0]

    scripts(call)


def test_nothing_is_kept_for_ever(scripts):
    """Each key of a quota has an end."""

    def call(redis_scripts):
        for script in (FIXED_WINDOW, ROLLING_WINDOW):
            ask = redis_scripts.quota(script, limit=10, window=5000, bucket=100)
            ask(1, 0, dedup="a")
            ask(1, 200)
        ends = [redis_scripts.client.pttl(one) for one in redis_scripts.client.scan_iter("*")]
        assert 5 == len(ends)
        assert all(0 < end <= 5200 for end in ends)

    scripts(call)


# --- Lists and denials --------------------------------------------------------------------


def test_a_list_of_a_web_server_decides(mixer_folder, run_async):
    """And a change of it, within the refresh interval."""
    body = ["ann\n"]

    async def answer(request):
        return web.Response(text=body[0])

    async def main():
        app = web.Application()
        app.router.add_get("/list", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/list"
        handler = (
            f"{{compiledAdapter: list, params: {{providerUrl: '{url}', refreshInterval: 1s,"
            " cachingInterval: 10ms, cachingUseCount: 1}}"
        )
        try:
            async with serving(mixer_folder, configured(handler, LISTENTRY)) as (client,):
                assert (await client.check(ANN)).is_allowed
                denied = await client.check(BEN)
                assert Code.PERMISSION_DENIED == denied.status.code
                assert "h.istio-system:ben is not whitelisted" == denied.status.message
                body[0] = "ben\n"
                async with asyncio.timeout(20):
                    while not (await client.check(BEN)).is_allowed:
                        await asyncio.sleep(0.05)
                assert not (await client.check(ANN)).is_allowed
        finally:
            await runner.cleanup()

    run_async(main())


def test_a_denial_is_kept_by_the_client(mixer_folder, run_async):
    """As often as it says, and no longer than the server lives."""
    handler = "{compiledAdapter: denier, params: {status: {code: 7, message: no}}}"

    async def main():
        options = ClientOptions(fail_policy=FailPolicy.OPEN)
        text = configured(handler, "{compiledTemplate: checknothing}")
        async with serving(mixer_folder, text, options=options) as (client,):
            first, second = await client.check(ANN), await client.check(BEN)
            assert (Code.PERMISSION_DENIED, "h.istio-system:no") == (
                first.status.code,
                first.status.message,
            )
            assert (False, True) == (first.is_cache_hit, second.is_cache_hit)
            assert not second.is_allowed

    run_async(main())


# --- OPA ----------------------------------------------------------------------------------

REGO = """
package mixerauthz

default allow := false

allow if {
  input.subject.user == "ann"
  input.action.method == "GET"
  input.action.properties.code < 400
}
"""


def test_a_real_opa_decides(mixer_folder, tmp_path, run_async):
    """By the policy of the handler; also after it was started anew; fail-close without it."""
    program = programs.find("opa")
    if program is None:
        pytest.skip(programs.reason("opa"))
    instance = (
        "{compiledTemplate: authorization, params: {subject: {user: source.user}, "
        "action: {method: request.method, properties: {code: response.code}}}}"
    )
    lines = "\n".join(f"        {line}" for line in REGO.strip().splitlines())

    def asking(user="ann", method="GET", code=200):
        return {"source.user": user, "request.method": method, "response.code": code}

    async def main():
        async with Opa(program, tmp_path) as opa:
            handler = (
                f"\n  compiledAdapter: opa\n  params:\n    address: {opa.address}\n"
                "    checkMethod: data.mixerauthz.allow\n    failClose: true\n"
                f"    policy:\n    - |\n{lines}"
            )
            async with serving(mixer_folder, configured(handler, instance)) as (client,):
                assert (await client.check(asking())).is_allowed
                denied = await client.check(asking("ben"))
                assert "h.istio-system:opa: request was rejected" == denied.status.message
                for values in (asking(method="PUT"), asking(code=500)):
                    assert Code.PERMISSION_DENIED == (await client.check(values)).status.code
                await opa.stop()
                # Other values, or the server's own cache would answer.
                assert not (await client.check(asking(code=201))).is_allowed
                await opa.start()
                codes = itertools.count(202)
                async with asyncio.timeout(20):
                    while not (await client.check(asking(code=next(codes)))).is_allowed:
                        await asyncio.sleep(0.2)

    run_async(main())


# --- Another process ----------------------------------------------------------------------


@asynccontextmanager
async def another_process(tmp_path, port):
    """An adapter that listens on this port."""
    program = Path(mixer_backend.__file__)
    command = [sys.executable, str(program), str(port)]
    async with ChildProcess(command, log=tmp_path / f"backend-{os.urandom(2).hex()}.log") as child:

        async def is_ready():
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                return False
            writer.close()
            return True

        await child.until(is_ready, what="the adapter listens")
        yield child


@pytest.mark.parametrize(
    "handler",
    [
        "{{adapter: mine, connection: {{address: '127.0.0.1:{port}'}}, params: {{denied: [ann]}}}}",
        (
            "{{compiledAdapter: bypass, params: {{backendAddress: '127.0.0.1:{port}', "
            "sessionBased: true, params: {{denied: [ann]}}}}}}"
        ),
    ],
    ids=["connection", "session"],
)
def test_an_adapter_in_another_process_decides(mixer_folder, tmp_path, run_async, handler):
    """With the configuration of the document; also after it was started anew."""
    port = free_port()

    async def main():
        text = configured(handler.format(port=port), LISTENTRY)
        async with AsyncExitStack() as stack:
            async with another_process(tmp_path, port):
                (client,) = await stack.enter_async_context(serving(mixer_folder, text))
                denied = await client.check(ANN)
                assert Code.PERMISSION_DENIED == denied.status.code
                expected = "h.istio-system:ann by x.instance.istio-system"
                assert expected == denied.status.message
                assert (await client.check(BEN)).is_allowed
            lost = await client.check(BEN, fail_policy=FailPolicy.CLOSED)
            assert "UNAVAILABLE" in (lost.failure or "")
            async with another_process(tmp_path, port):
                async with asyncio.timeout(20):
                    while (await client.check(BEN, fail_policy=FailPolicy.CLOSED)).failure:
                        await asyncio.sleep(0.1)
                assert Code.PERMISSION_DENIED == (await client.check(ANN)).status.code
                await stack.aclose()

    run_async(main())


def test_a_configuration_that_the_process_refuses_is_told(mixer_folder, tmp_path, run_async):
    """When the handler begins, in the other process' words."""
    port = free_port()
    handler = (
        f"{{compiledAdapter: bypass, params: {{backendAddress: '127.0.0.1:{port}', "
        "sessionBased: true, params: {allowed: [ann]}}}"
    )

    async def main():
        (mixer_folder / "mixer.yaml").write_text(configured(handler, LISTENTRY), encoding="utf-8")
        async with (
            another_process(tmp_path, port),
            MixerServer("127.0.0.1:0", config=mixer_folder, adapters=ADAPTERS) as server,
        ):
            ((_, fault),) = server.status().handlers
            assert "INVALID_ARGUMENT:denied: is missing" in fault

    run_async(main())
