"""The client: what a check gives, what is asked of servers, and what is counted."""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random

import pytest

from meshregistry.errors import MixerError, MixerUnavailable
from meshregistry.exposition import MetricsCollector, exposition
from meshregistry.mixer import (
    AttributeBag,
    CallFailed,
    ClientOptions,
    Code,
    FailPolicy,
    HeaderOperation,
    MixerClient,
    Operation,
    RouteDirective,
)
from meshregistry.mixer.proto.mixer_v1_pb2 import CheckResponse
from meshregistry.testing import ManualClock

A1 = AttributeBag({"a": "1", "b": "x"})
A2 = AttributeBag({"a": "2"})
DOWN = CallFailed(14, "nobody there", is_sent=False)


@pytest.fixture
def clock():
    """Time that stands still."""
    return ManualClock()


@pytest.fixture
def make(transport, clock):
    """Makes clients of the fake server: ``make(option=…)``."""

    def client(**options):
        return MixerClient(
            transport=transport,
            clock=clock,
            random=Random(1),
            new_id=lambda: "me-",
            options=ClientOptions(**options),
        )

    return client


@pytest.fixture
def with_client(make, run_async):
    """Runs ``main(client)`` with an open client, and gives its result."""

    def run(main, **options):
        async def opened():
            async with make(**options) as client:
                return await main(client)

        return run_async(opened())

    return run


def test_a_request_is_described_to_the_server(with_client, transport):
    """Attributes, the number of known words, and an id of its own for each call."""

    async def main(client):
        await client.check(A1)
        await client.check({"request.path": "/x", "source.ip": "10.0.0.1"})

    with_client(main, check_cache_size=0)
    assert [
        A1,
        AttributeBag({"request.path": "/x", "source.ip": b"\x0a\0\0\x01"}),
    ] == transport.bags
    assert [("me-1", 222), ("me-2", 222)] == [
        (each.deduplication_id, each.global_word_count) for each in transport.requests
    ]


def test_the_second_check_needs_no_call(with_client, transport, answer):
    """Allowed or denied, and the result says where it came from."""
    transport.answer = answer("a", code=7, message="no")

    async def main(client):
        first, second = await client.check(A1), await client.check(A1.updated({"b": "y"}))
        return first, second, client.statistics()

    first, second, counted = with_client(main)
    assert (False, False, 403, "PERMISSION_DENIED:no") == (
        first.is_cache_hit,
        first.is_allowed,
        first.http_code,
        first.body,
    )
    assert (True, False) == (second.is_cache_hit, second.is_allowed)
    assert {
        "check.cache_hit": True,
        "check.error_code": 7,
        "check.error_message": "PERMISSION_DENIED:no",
    } == second.attributes
    assert 1 == len(transport.requests)
    assert (2, 1, 1, 0, 1, 1, 1, 0) == tuple(
        counted[f"total_{name}"]
        for name in (
            "check_calls",
            "check_cache_hits",
            "check_cache_misses",
            "check_cache_hit_accepts",
            "check_cache_hit_denies",
            "remote_check_calls",
            "remote_check_denies",
            "remote_check_accepts",
        )
    )


def test_what_the_server_wants_done_comes_with_the_result(with_client, transport, answer):
    """Header operations and a direct response; unknown operations are left out."""
    transport.answer = answer("a")
    said = transport.answer.precondition.route_directive
    said.request_header_operations.add(name="X-User", value="u", operation=0)
    said.request_header_operations.add(name="x-new", value="u", operation=9)
    said.response_header_operations.add(name="server", operation=1)
    said.direct_response_code, said.direct_response_body = 302, "there"

    async def main(client):
        return await client.check(A1), await client.check(A1)

    first, second = with_client(main)
    directive = RouteDirective(
        (HeaderOperation("x-user", "u"),),
        (HeaderOperation("server", "", Operation.REMOVE),),
        302,
        "there",
    )
    assert (directive, directive) == (first.directive, second.directive)
    assert (True, True, 302, "there") == (
        first.is_allowed,
        first.is_direct,
        first.http_code,
        first.body,
    )


@pytest.mark.parametrize(
    ("policy", "code", "http"), [(FailPolicy.OPEN, 0, 200), (FailPolicy.CLOSED, 14, 503)]
)
def test_without_a_server_the_policy_decides(with_client, transport, policy, code, http):
    """Open allows, closed denies; either says what failed, and keeps nothing."""
    transport.answer = DOWN

    async def main(client):
        return await client.check(A1), client.statistics()

    result, counted = with_client(main, fail_policy=policy)
    assert (code, http) == (result.status.code, result.http_code)
    assert "nobody there (UNAVAILABLE)" == result.failure
    assert (1, 1) == (counted["total_remote_calls"], counted["total_remote_call_send_errors"])


def test_the_policy_of_a_call_goes_before_that_of_the_options(with_client, transport):
    """Raising is a policy, too; the error names the status."""
    transport.answer = DOWN

    async def main(client):
        assert (await client.check(A1)).is_allowed
        assert not (await client.check(A1, fail_policy=FailPolicy.CLOSED)).is_allowed
        with pytest.raises(MixerUnavailable, match="start one, or let checks fail open") as caught:
            await client.check(A1, fail_policy=FailPolicy.RAISE)
        return caught.value.status

    assert "UNAVAILABLE" == with_client(main)


def test_a_server_that_could_not_decide_is_there(with_client, transport):
    """Nobody is told to start one; what it says is what has to be mended."""
    transport.answer = CallFailed(Code.INTERNAL, "list.ns:there is no list", server="a:1")

    async def main(client):
        with pytest.raises(MixerUnavailable) as caught:
            await client.check(A1, fail_policy=FailPolicy.RAISE)
        return str(caught.value)

    assert (
        "a server of Mixer could not decide: a:1: list.ns:there is no list (INTERNAL); "
        "mend what it tells of, or let checks fail open"
    ) == with_client(main)


def test_an_internal_error_of_policy_is_forgiven_if_checks_fail_open(
    with_client, transport, answer
):
    """The same cached answer is a denial for a call that fails closed."""
    transport.answer = answer("a", code=13)

    async def main(client):
        return [
            (await client.check(A1, fail_policy=policy)).is_allowed
            for policy in (FailPolicy.OPEN, FailPolicy.OPEN, FailPolicy.CLOSED)
        ]

    assert [True, True, False] == with_client(main)
    assert 1 == len(transport.requests)


def test_a_check_is_sent_again_under_the_same_id(with_client, transport, clock, until):
    """After a wait that grows, as often as the options say."""
    transport.script.extend([DOWN, DOWN])

    async def main(client):
        asking = asyncio.create_task(client.check(A1))
        await until(lambda: len(transport.requests) == 1)
        for count in (2, 3):
            await until(lambda: clock.deadlines)
            assert 0.08 <= min(clock.deadlines) - clock.now() <= 0.08 * 2 ** (count - 2) + 1e-9
            await clock.advance(min(clock.deadlines) - clock.now())
            await until(lambda n=count: len(transport.requests) == n)
        return await asking, client.statistics()

    result, counted = with_client(main, retries=2)
    assert (True, None) == (result.is_allowed, result.failure)
    assert ["me-1"] * 3 == [request.deduplication_id for request in transport.requests]
    assert (2, 3, 1) == (
        counted["total_remote_call_retries"],
        counted["total_remote_calls"],
        counted["total_remote_call_successes"],
    )


def test_no_retry_waits_beyond_the_deadline(with_client, transport):
    """The result comes in time instead."""
    transport.answer = DOWN

    async def main(client):
        return await client.check(A1, timeout=0.05)

    assert "nobody there" in with_client(main, retries=5).failure
    assert 1 == len(transport.requests)
    assert [pytest.approx(0.05)] == transport.timeouts


def test_what_a_server_refuses_is_not_sent_again(with_client, transport):
    """An answer that is an error is an answer."""
    transport.answer = CallFailed(13, "broken")

    async def main(client):
        return await client.check(A1, fail_policy=FailPolicy.CLOSED)

    assert 500 == with_client(main, retries=3).http_code
    assert 1 == len(transport.requests)


@pytest.mark.parametrize(
    "refusal",
    [
        CallFailed(3, "Request could not be processed due to invalid dictionary"),
        CallFailed(13, "inconsistent global dictionary versions"),
    ],
)
def test_a_refused_dictionary_is_shrunk_for_good(with_client, transport, refusal):
    """To the 111 words of the first clients, also for what 1.x servers say (quirk 12)."""
    transport.script.append(refusal)

    async def main(client):
        await client.check(A1)
        await client.check(A2)

    with_client(main, check_cache_size=0)
    assert [222, 111, 111] == [request.global_word_count for request in transport.requests]
    assert [A1, A1, A2] == transport.bags
    assert "me-1" == transport.requests[1].deduplication_id


def test_a_dictionary_that_is_refused_twice_is_a_failure(with_client, transport):
    """There is no smaller one."""
    transport.answer = CallFailed(3, "Request could not be processed due to invalid words")

    async def main(client):
        return await client.check(A1, fail_policy=FailPolicy.CLOSED)

    assert 400 == with_client(main).http_code
    assert 2 == len(transport.requests)


def test_equal_questions_share_a_call(with_client, transport, answer, until):
    """One request goes out; the others count as hits."""

    async def main(client):
        future = asyncio.get_running_loop().create_future()
        transport.script.append(future)
        asking = [asyncio.create_task(client.check(A1)) for _ in range(5)]
        await until(lambda: transport.requests)
        future.set_result(answer("a", code=7))
        return await asyncio.gather(*asking), client.statistics()

    results, counted = with_client(main)
    assert [7] * 5 == [result.status.code for result in results]
    assert [False, True, True, True, True] == [result.is_cache_hit for result in results]
    assert (5, 4, 1, 1) == (
        counted["total_check_calls"],
        counted["total_check_cache_hits"],
        counted["total_check_cache_misses"],
        counted["total_remote_check_calls"],
    )


@pytest.mark.parametrize("case", [(0, 5), (2, 3), (-1, 1)])
def test_each_waiter_takes_a_use(with_client, transport, answer, until, case):
    """An answer with zero uses is never shared; who gets none asks by itself."""
    uses, calls = case

    async def main(client):
        future = asyncio.get_running_loop().create_future()
        transport.script.append(future)
        transport.answer = answer("a", uses=uses)
        asking = [asyncio.create_task(client.check(A1)) for _ in range(5)]
        await until(lambda: transport.requests)
        future.set_result(transport.answer)
        await asyncio.gather(*asking)

    with_client(main, check_cache_size=0)
    assert calls == len(transport.requests)


def test_who_waited_once_for_nothing_waits_no_more(with_client, transport, answer, until):
    """Else those whose answers are for one request only would be asked one after the other."""

    async def main(client):
        futures = [asyncio.get_running_loop().create_future() for _ in range(4)]
        transport.script.extend(futures)
        asking = [asyncio.create_task(client.check(A1)) for _ in range(4)]
        await until(lambda: transport.requests)
        futures[0].set_result(answer("a", uses=0))
        await until(lambda: len(transport.requests) == 4)
        for future in futures[1:]:
            future.set_result(answer("a", uses=0))
        await asyncio.gather(*asking)

    with_client(main)


def test_waiters_share_only_an_answer_to_their_own_attributes(
    with_client, transport, answer, until
):
    """A question that looked equal by what was known may turn out to be another one."""
    transport.answer = answer("a", code=5)

    async def main(client):
        # The shape `a` is known, so these two look alike; the answer depends on `b` as well.
        await client.check(A1)
        future = asyncio.get_running_loop().create_future()
        transport.script.append(future)
        first = asyncio.create_task(client.check(AttributeBag({"a": "2", "b": "x"})))
        second = asyncio.create_task(client.check(AttributeBag({"a": "2", "b": "y"})))
        await until(lambda: len(transport.requests) == 2)
        transport.answer = answer("a", "b", code=9)
        future.set_result(answer("a", "b", code=7))
        return (await first).status.code, (await second).status.code

    assert (7, 9) == with_client(main)
    assert 3 == len(transport.requests)


def test_waiters_share_a_failure(with_client, transport, until):
    """Each goes by its own policy, and none calls a server that is down."""

    async def main(client):
        future = asyncio.get_running_loop().create_future()
        transport.script.append(future)
        policies = (FailPolicy.OPEN, FailPolicy.CLOSED)
        asking = [asyncio.create_task(client.check(A1, fail_policy=each)) for each in policies]
        await until(lambda: transport.requests)
        future.set_result(DOWN)
        return [result.is_allowed for result in await asyncio.gather(*asking)], client.statistics()

    allowed, counted = with_client(main)
    assert [True, False] == allowed
    assert (2, 1, 1) == (
        counted["total_check_cache_misses"],
        counted["total_remote_check_calls"],
        counted["total_check_shared_failures"],
    )


@pytest.mark.parametrize("how", ["cancelled", "late"])
def test_a_waiter_takes_over_from_one_who_gave_up(with_client, transport, answer, until, how):
    """The caller was cancelled, or had less time."""

    async def main(client):
        future = asyncio.get_running_loop().create_future()
        transport.script.append(future)
        first = asyncio.create_task(client.check(A1))
        await until(lambda: transport.requests)
        others = [asyncio.create_task(client.check(A1)) for _ in range(3)]
        await asyncio.sleep(0)
        transport.answer = answer("a", code=7)
        if how == "cancelled":
            first.cancel()
        else:
            future.set_result(CallFailed(4, "too late"))
        codes = [result.status.code for result in await asyncio.gather(*others)]
        await asyncio.gather(first, return_exceptions=True)
        return codes, client.statistics()

    codes, counted = with_client(main)
    assert [7, 7, 7] == codes
    assert 2 == len(transport.requests)
    assert (how == "cancelled") == bool(counted["total_remote_call_cancellations"])


def test_a_waiter_waits_no_longer_than_its_deadline(with_client, transport, answer, until):
    """The call of the other one goes on."""

    async def main(client):
        future = asyncio.get_running_loop().create_future()
        transport.script.append(future)
        first = asyncio.create_task(client.check(A1))
        await until(lambda: transport.requests)
        result = await client.check(A1, timeout=0.0, fail_policy=FailPolicy.CLOSED)
        future.set_result(answer("a"))
        return result, await first

    second, first = with_client(main)
    assert (504, True) == (second.http_code, first.is_allowed)


def test_checks_under_way_are_bounded(with_client, transport, answer, until):
    """One too many fails at once, by the policy, and is counted."""

    async def main(client):
        future = asyncio.get_running_loop().create_future()
        transport.script.append(future)
        first = asyncio.create_task(client.check(A1))
        await until(lambda: transport.requests)
        second = await client.check(A2, fail_policy=FailPolicy.CLOSED)
        future.set_result(answer("a"))
        await first
        return second, client.statistics()["total_check_overloads"]

    second, overloads = with_client(main, checks_in_flight=1)
    assert ("too many checks are under way (UNAVAILABLE)", 1) == (second.failure, overloads)


def test_quota_without_a_hit_goes_with_the_check(with_client, transport, answer):
    """The amount is asked for in whole, and the verdict is the server's."""
    transport.answer = answer("a", quotas={"q": (0, 1, ()), "r": (5, 1, ())})

    async def main(client):
        return await client.check(A1, quotas={"q": 2, "r": 5, "unknown": 1}), client.statistics()

    result, counted = with_client(main)
    assert (429, "Quota is exhausted for: q", False) == (
        result.http_code,
        result.status.message,
        result.is_quota_cache_hit,
    )
    assert {"q": 0, "r": 5, "unknown": 1} == result.granted
    (request,) = transport.requests
    assert {"q": (2, False), "r": (5, False), "unknown": (1, False)} == {
        name: (each.amount, each.best_effort) for name, each in request.quotas.items()
    }
    assert (1, 1, 0, 1) == tuple(
        counted[f"total_{name}"]
        for name in (
            "quota_calls",
            "quota_cache_misses",
            "remote_quota_accepts",
            "remote_quota_denies",
        )
    )


def test_a_denial_goes_before_quota(with_client, transport, answer):
    """Whatever the quota said; and a cached denial asks for none."""
    transport.answer = answer("a", code=7, quotas={"q": (0, 1, ())})

    async def main(client):
        return [(await client.check(A1, quotas={"q": 1})).status.code for _ in range(2)]

    assert [7, 7] == with_client(main)
    assert 1 == len(transport.requests)


def test_a_denied_request_is_granted_nothing(with_client, transport, answer):
    """Also of quotas of which the server says nothing, as servers do after a denial."""
    transport.answer = answer("a", code=7)

    async def main(client):
        return (await client.check(A1, quotas={"q": 3})).granted

    assert {"q": 0} == with_client(main)


def test_quota_is_taken_in_advance_once_the_check_is_cached(with_client, transport, answer, until):
    """The caller does not wait; one call in the background asks for ten."""
    transport.answer = answer("a", quotas={"q": (10, 60, ("a",))})

    async def main(client):
        await client.check(A1)
        results = [await client.check(A1, quotas={"q": 1}) for _ in range(5)]
        await until(lambda: len(transport.requests) == 2)
        return results, client.statistics()

    results, counted = with_client(main)
    assert [(True, True, True)] * 5 == [
        (each.is_allowed, each.is_cache_hit, each.is_quota_cache_hit) for each in results
    ]
    assert [(10, True)] == [
        (each.amount, each.best_effort) for each in transport.requests[1].quotas.values()
    ]
    assert (5, 5, 1) == (
        counted["total_quota_calls"],
        counted["total_quota_cache_hit_accepts"],
        counted["total_remote_quota_prefetch_calls"],
    )


def test_exhausted_quota_is_refused_locally(with_client, transport, answer, until):
    """Once the server granted less than was taken in advance."""
    transport.answer = answer("a", quotas={"q": (2, 60, ("a",))})

    async def main(client):
        await client.check(A1)
        first = await client.check(A1, quotas={"q": 1})
        await until(lambda: len(transport.requests) == 2)
        await until(lambda: not client._quotas._background)
        rest = [await client.check(A1, quotas={"q": 1}) for _ in range(3)]
        return [each.is_allowed for each in (first, *rest)], rest[-1].status, client.statistics()

    allowed, status, counted = with_client(main)
    assert [True, True, False, False] == allowed
    assert "RESOURCE_EXHAUSTED:Quota is exhausted for: q" == str(status)
    assert 2 == counted["total_quota_cache_hit_denies"]


@pytest.mark.parametrize("case", [(FailPolicy.OPEN, True), (FailPolicy.CLOSED, False)])
def test_quota_that_the_server_cannot_reach_goes_by_the_policy(
    with_client, transport, answer, until, case
):
    """UNAVAILABLE is no refusal: what counts the quota was not asked."""
    policy, is_allowed = case
    transport.answer = answer("a", quotas={"q": (0, 0, ())})
    transport.answer.quotas["q"].status.code = 14

    async def main(client):
        await client.check(A1)
        await client.check(A1, quotas={"q": 1})
        await until(lambda: len(transport.requests) == 2 and not client._quotas._background)
        return (await client.check(A1, quotas={"q": 1})).is_allowed

    assert is_allowed is with_client(main, fail_policy=policy)


@pytest.mark.parametrize("policy", FailPolicy)
def test_quota_that_the_server_cannot_reach_goes_by_the_policy_without_a_pool_too(
    with_client, transport, answer, policy
):
    """The same rule where the amount went with the check: open has all of it, others nothing."""
    transport.answer = answer("a", quotas={"q": (0, 0, ())})
    transport.answer.quotas["q"].status.code = 14

    async def main(client):
        return await client.check(A1, quotas={"q": 3})

    result = with_client(main, fail_policy=policy)
    is_open = policy is FailPolicy.OPEN
    assert (is_open, 3 if is_open else 0) == (result.is_allowed, result.granted["q"])


@pytest.mark.parametrize("case", [(FailPolicy.OPEN, 9), (FailPolicy.CLOSED, 0)])
def test_quota_in_advance_that_fails_goes_by_the_policy(
    with_client, transport, answer, until, case
):
    """Open: the order counts as granted. Closed: nothing of it is left."""
    policy, allowed = case
    transport.answer = answer("a")

    async def main(client):
        await client.check(A1)
        transport.answer = DOWN
        await client.check(A1, quotas={"q": 1})
        await until(lambda: len(transport.requests) == 2 and not client._quotas._background)
        return sum([(await client.check(A1, quotas={"q": 1})).is_allowed for _ in range(9)])

    assert allowed == with_client(main, fail_policy=policy)


def test_without_a_quota_cache_each_amount_is_a_call(with_client, transport, answer):
    """A cached check stays as it is; only the quota of the response counts."""
    transport.answer = answer("a", quotas={"q": (1, 1, ())})

    async def main(client):
        await client.check(A1)
        transport.answer = answer("a", code=7, quotas={"q": (1, 1, ())})
        return await client.check(A1, quotas={"q": 1})

    result = with_client(main, quota_cache_size=0)
    assert (True, True, False) == (
        result.is_allowed,
        result.is_cache_hit,
        result.is_quota_cache_hit,
    )


def test_a_quota_cache_that_is_too_small_lets_no_more_pass(with_client, transport, answer, until):
    """Three quotas of 20 each, and room for the pool of one: the others are asked for one by one."""
    left = Counter(dict.fromkeys("qrs", 20))

    def granted(request):
        taken = {}
        for name, each in request.quotas.items():
            taken[name] = (min(each.amount, left[name]), 60, ("a",))
            left[name] -= taken[name][0]
        return answer("a", quotas=taken)

    transport.answer = granted

    async def main(client):
        passed = Counter()
        await client.check(A1)
        for number in range(600):
            name = "qrs"[number % 3]
            passed[name] += (await client.check(A1, quotas={name: 1})).is_allowed
            await until(lambda: not client._quotas._background)
        return passed

    assert {"q": 20, "r": 20, "s": 20} == with_client(main, quota_cache_size=1)


@pytest.mark.parametrize("policy", [FailPolicy.OPEN, FailPolicy.CLOSED])
def test_quota_without_a_server_goes_by_the_policy(with_client, transport, policy):
    """The whole check fails open or closed."""
    transport.answer = DOWN

    async def main(client):
        return await client.check(A1, quotas={"q": 1}, fail_policy=policy)

    assert (policy is FailPolicy.OPEN) is with_client(main).is_allowed


def test_a_client_that_is_not_open_says_so(make, run_async, transport):
    """A check is an error; a report is dropped and counted, since it must not disturb."""
    client = make()
    with pytest.raises(MixerError, match="use it within `async with`"):
        run_async(client.check(A1))
    client.report(A1)
    assert 1 == client.statistics()["total_reports_dropped_closed"]
    run_async(client.close())

    async def main():
        async with client:
            await client.check(A1)
        await client.close()

    run_async(main())
    assert transport.is_closed


def test_what_is_misspelt_is_told_at_once(with_client):
    """Plain mappings are checked by the manifest."""

    async def main(client):
        with pytest.raises(ValueError, match=r"did you mean 'request\.path'"):
            await client.check({"request.pth": "/"})
        with pytest.raises(TypeError, match="declared as INT64"):
            client.report({"request.size": "1"})

    with_client(main)


def test_the_cache_can_be_asked_alone(with_client, answer, transport):
    """None says that a server would have to be asked."""
    transport.answer = answer("a", code=13)

    async def main(client):
        before = client.cached(A1)
        await client.check(A1)
        return before, client.cached(A1), client.cached(A1, fail_policy=FailPolicy.CLOSED)

    before, opened, closed = with_client(main)
    assert (None, True, False) == (before, opened.is_allowed, closed.is_allowed)


def test_figures_are_metrics_too(with_client, transport, answer):
    """Every counter of a label is one of the statistics."""
    transport.answer = answer("a")

    async def main(client):
        await client.check(A1)
        await client.check(A1)
        client.report(A1)
        return {
            (metric.name, str(labels)): value
            for metric in client.metrics()
            for labels, value in metric.samples
        }

    figures = with_client(main)
    assert 1 == figures["meshregistry_mixer_client_checks", "outcome=hit_accept"]
    assert 1 == figures["meshregistry_mixer_client_checks", "outcome=miss"]
    assert 1 == figures["meshregistry_mixer_client_calls", "outcome=success"]
    assert 1 == figures["meshregistry_mixer_client_check_cache_entries", ""]
    assert 1 == figures["meshregistry_mixer_client_reports_waiting", ""]


def test_a_response_of_nothing_is_an_invalid_argument(with_client, transport):
    """A server that answers without a precondition is broken, and not believed."""
    transport.answer = CheckResponse()

    async def main(client):
        return [(await client.check(A1)).http_code for _ in range(2)]

    assert [400, 400] == with_client(main)
    assert 2 == len(transport.requests)


@pytest.mark.parametrize("is_known", [False, True])
@pytest.mark.parametrize(
    ("amount", "what"),
    [
        (0, "is not positive"),
        (-1, "is not positive"),
        (1 << 63, "does not fit into 64 bits"),
        (1.5, "is no whole number: 1.5"),
    ],
)
def test_an_amount_of_quota_can_be_asked_for(
    with_client, transport, answer, *, is_known, amount, what
):
    """Zero and less would be granted by anybody, and more is told at once, not in the background."""
    transport.answer = answer("a")

    async def main(client):
        if is_known:
            await client.check(A1)
        reason = f"the amount of the quota 'q' {what}"
        with pytest.raises((TypeError, ValueError), match=reason):
            await client.check(A1, quotas={"q": amount})

    with_client(main)
    assert is_known == len(transport.requests)


def test_prometheus_reads_the_figures(with_client):
    """The collector of the server package takes them as they are."""

    async def main(client):
        await client.check(A1)
        return exposition(MetricsCollector(client.metrics)).decode()

    text = with_client(main)
    assert 'meshregistry_mixer_client_checks_total{outcome="miss"} 1.0' in text
    assert "meshregistry_mixer_client_reports_waiting 0.0" in text


def test_a_bag_of_a_subclass_is_a_bag(with_client, transport):
    """It is taken as it is, and not checked by the manifest."""

    class Own(AttributeBag):
        pass

    async def main(client):
        await client.check(Own({"anything": 1}))

    with_client(main)
    assert [AttributeBag({"anything": 1})] == transport.bags
