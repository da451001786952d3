"""``opa`` asks a running OPA; a real one is asked by `make integration`."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from meshregistry.mixer.adapters._opa import input_of
from meshregistry.mixer.spi import Action, Authorization, Code, Status, Subject

INSTANCES = ("a: authorization {}",)
REJECTED = Status(Code.PERMISSION_DENIED, "opa: request was rejected")


class FakeOpa:
    """Keeps policies; a rule is what it is told."""

    def __init__(self):
        self.policies, self.inputs, self.result, self.status = {}, [], {"result": True}, 200

    async def put(self, request):
        text = await request.text()
        if "broken" in text:
            return web.json_response({"code": "invalid_parameter"}, status=400)
        self.policies[request.match_info["name"]] = text
        return web.json_response({})

    async def delete(self, request):
        del self.policies[request.match_info["name"]]
        return web.json_response({})

    async def list(self, request):
        return web.json_response({"result": [{"id": name} for name in self.policies]})

    async def ask(self, request):
        self.inputs.append((request.path, (await request.json())["input"]))
        is_lost = isinstance(self.result, dict) and not self.policies
        return web.json_response({} if is_lost else self.result, status=self.status)


@asynccontextmanager
async def opa():
    """It, and its address."""
    made = FakeOpa()
    app = web.Application()
    app.router.add_put("/v1/policies/{name:.+}", made.put)
    app.router.add_delete("/v1/policies/{name:.+}", made.delete)
    app.router.add_get("/v1/policies", made.list)
    app.router.add_post("/v1/data/{rule:.+}", made.ask)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield made, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
def with_opa(adapters, run_async):
    """Runs a coroutine function with a handler, its context and its OPA."""

    def run(call, more="policy: ['package authz'], ", address=""):
        async def main():
            async with opa() as (made, own):
                params = f"{{address: '{address or own}', {more}checkMethod: data.authz.allow}}"
                async with adapters.running("opa", params, INSTANCES) as (handler, context):
                    return await call(handler, context, made)

        return run_async(main())

    return run


def asking():
    """An instance."""
    return Authorization(subject=Subject(user="ann"), action=Action(method="GET", path="/"))


def test_the_rule_decides(with_opa):
    """True allows, false denies, neither says for how long."""

    async def call(handler, context, made):
        assert (await handler.check(asking())).is_default
        made.result = {"result": False}
        answer = await handler.check(asking())
        assert (REJECTED, 0.0, 0) == (answer.status, answer.valid_duration, answer.valid_use_count)
        assert ("/v1/data/authz/allow", made.inputs[0][1]) == made.inputs[0]
        assert {"meshregistry/h.ns/0": "package authz"} == made.policies

    with_opa(call)


def test_answers_may_be_kept_if_that_is_configured(with_opa):
    """Also denials, which the original's callers could not keep."""

    async def call(handler, context, made):
        made.result = {"result": False}
        answer = await handler.check(asking())
        assert (5.0, 7) == (answer.valid_duration, answer.valid_use_count)

    with_opa(call, "policy: [x], cachingInterval: 5s, cachingUseCount: 7, ")


@pytest.mark.parametrize(
    "result", [{"result": "yes"}, {"result": None}, {"result": {"allow": True}}, [1]]
)
@pytest.mark.parametrize(("more", "status"), [("", Status()), ("failClose: true, ", REJECTED)])
def test_what_is_no_answer_goes_by_the_policy(with_opa, result, more, status):
    """Open by default; what was guessed may be kept for a second, and what was denied not at all."""

    async def call(handler, context, made):
        made.result = result
        answer = await handler.check(asking())
        assert status == answer.status
        assert (1.0 if status.is_ok else 0.0, 0) == (answer.valid_duration, answer.valid_use_count)
        assert 1 == context.counts["failures"]

    with_opa(call, f"policy: [x], {more}")


def test_an_opa_that_is_not_there_goes_by_the_policy(with_opa):
    """And stops no handler."""

    async def call(handler, context, made):
        assert REJECTED == (await handler.check(asking())).status
        assert 1 == context.counts["failures"]

    with_opa(call, "failClose: true, ", "http://127.0.0.1:1")


def test_an_outage_is_told_once(with_opa, caplog):
    """However many checks fail meanwhile; and its end. What differs each time is not told for ever."""
    caplog.set_level("INFO", logger="meshregistry.mixer")

    async def call(handler, context, made):
        for number in range(20):
            made.status, made.result = 500, {"error": f"request {number}"}
            for _ in range(2):
                await handler.check(asking())
        made.status = 200
        made.result = {"result": True}
        for _ in range(2):
            assert (await handler.check(asking())).status.is_ok
        assert 40 == context.counts["failures"]

    with_opa(call, "policy: [x], ")
    told = [one for one in caplog.messages if "OPA" in one]
    assert 1 == told.count("OPA answers again")
    assert 10 == sum("OPA answers 500" in one for one in told)


def test_an_error_of_opa_goes_by_the_policy(with_opa):
    """Whatever it says beside it."""

    async def call(handler, context, made):
        made.status = 500
        assert REJECTED == (await handler.check(asking())).status

    with_opa(call, "policy: [x], failClose: true, ")


def test_a_broken_policy_is_not_brought_in_at_each_request(with_opa, caplog):
    """It is told, and tried again after a second."""

    async def call(handler, context, made):
        assert REJECTED == (await handler.check(asking())).status
        assert [] == made.inputs
        await context.clock.advance(1)
        assert REJECTED == (await handler.check(asking())).status
        assert 3 == context.counts["failures"]

    with_opa(call, "policy: [broken], failClose: true, ")
    assert "invalid_parameter" in caplog.text


def test_an_opa_that_was_started_anew_gets_the_policies_again(with_opa):
    """It has forgotten them, and says that the rule is not there."""

    async def call(handler, context, made):
        await context.clock.advance(1)
        made.policies.clear()
        assert (await handler.check(asking())).is_default
        assert {"meshregistry/h.ns/0", "meshregistry/h.ns/1"} == made.policies.keys()
        assert (2, 0) == (context.counts["loads"], context.counts["failures"])

    with_opa(call, "policy: [x, y], ")


def test_policies_are_not_brought_again_with_every_request(with_opa):
    """A rule that they do not define would triple the requests to OPA."""

    async def call(handler, context, made):
        made.policies.clear()
        for _ in range(2):
            await handler.check(asking())
        assert (1, 2) == (context.counts["loads"], context.counts["failures"])
        assert not made.policies

    with_opa(call, "policy: [x, y], ")


def test_policies_of_the_handler_that_are_over_are_removed(adapters, run_async):
    """Those of others stay."""

    async def main():
        async with opa() as (made, address):
            made.policies = {"meshregistry/h.ns/7": "old", "other": "x"}
            params = f"{{address: '{address}', policy: [new], checkMethod: data.a.b}}"
            async with adapters.running("opa", params, INSTANCES):
                return made.policies

    assert {"meshregistry/h.ns/0": "new", "other": "x"} == run_async(main())


def test_the_input_has_what_is_not_empty():
    """Values as JSON has them; groups are a list."""
    subject = Subject(user="ann", groups="staff", properties={"ip": b"\x0a\x00\x00\x01", "n": 1})
    action = Action(namespace="shop", service="", method="GET", path="/x")
    assert input_of(subject, action) == {
        "subject": {"user": "ann", "groups": ["staff"], "properties": {"ip": "10.0.0.1", "n": 1}},
        "action": {"namespace": "shop", "method": "GET", "path": "/x"},
    }


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ("{checkMethod: data.a.b}", "spec.params"),
        ("{address: '127.0.0.1:8181', checkMethod: data.a.b}", "spec.params.address"),
        ("{address: 'http://x', checkMethod: a.b}", "spec.params.checkMethod"),
        ("{address: 'http://x', checkMethod: data.a/../b}", "spec.params.checkMethod"),
        ("{address: 'http://x', checkMethod: data.a, timeout: 0s}", "spec.params.timeout"),
    ],
)
def test_faults_are_found_before_anything_runs(adapters, params, field):
    """At their field."""
    plan, (fault,) = adapters.plan("opa", params, INSTANCES)
    assert plan is None
    assert fault.startswith(f"{field}: ")
