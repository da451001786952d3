"""``redisquota`` asks Redis; what the scripts do is shown on a real one (`make integration`)."""

from __future__ import annotations

import pytest
from redis.exceptions import ConnectionError as NotConnected

from meshregistry.errors import MissingExtraError
from meshregistry.mixer.adapters import _extra
from meshregistry.mixer.adapters._dimensions import key_of
from meshregistry.mixer.adapters._redis_scripts import FIXED_WINDOW, ROLLING_WINDOW
from meshregistry.mixer.adapters._redisquota import RedisquotaHandler, connected, redis_key
from meshregistry.mixer.spi import Code, Quota, QuotaAnswer, QuotaLimit, QuotaRequest, Status

NAME = "q.instance.ns"
INSTANCES = ("q: quota {dimensions: {user: source.user}}",)
FIXED = f"name: {NAME}, maxAmount: 3, validDuration: 1s"
ROLLING = f"{FIXED}, rateLimitAlgorithm: ROLLING_WINDOW, bucketDuration: 100ms"


class FakeRedis:
    """Answers scripts as it is told, and notes what it is asked."""

    def __init__(self):
        self.answers, self.asked, self.is_closed = [], [], False

    def register_script(self, text):
        async def run(keys, args):
            self.asked.append((text, keys, args))
            return self._next()

        return run

    async def ping(self):
        return self._next()

    async def aclose(self, *, close_connection_pool):
        self.is_closed = close_connection_pool

    def _next(self):
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def opened(adapters):
    """A handler, its context and what it takes for Redis."""

    def make(limit=FIXED, more=""):
        plan, faults = adapters.plan("redisquota", f"{{quotas: [{{{limit}}}]{more}}}", INSTANCES)
        assert faults == []
        _, context = adapters.open("memquota", f"{{quotas: [{{{FIXED}}}]}}", INSTANCES)
        redis = FakeRedis()
        handler = RedisquotaHandler(plan.config, context, connect=lambda _: redis)
        return handler, context, redis

    return make


def quota(user="ann"):
    """An instance."""
    return Quota(name=NAME, dimensions={"user": user})


def test_what_the_script_says_is_answered(opened, run_async):
    """The amount, and microseconds as seconds."""
    handler, _, redis = opened()
    redis.answers = [[2, 500_000, 1]]
    request = QuotaRequest(amount=2, deduplication_id="i;d")
    answer = run_async(handler.quota(quota(), request))
    known = QuotaLimit(amount=3, window=1.0, remaining=1)
    assert QuotaAnswer(amount=2, valid_duration=0.5, limit=known) == answer
    ((script, keys, args),) = redis.asked
    assert FIXED_WINDOW == script
    assert [3, 1_000_000, 0, 0, 2, "", 1] == args
    assert [
        "{q.instance.ns;user=ann}.FIXED_WINDOW,1,0.meta",
        "{q.instance.ns;user=ann}.FIXED_WINDOW,1,0.data",
        "{q.instance.ns;user=ann}.FIXED_WINDOW,1,0.i%3Bd.meta",
    ] == keys


def test_a_rolling_window_has_its_own_script(opened, run_async):
    """With the length of its buckets."""
    handler, _, redis = opened(ROLLING)
    redis.answers = [[2, 500_000, 1]]
    run_async(handler.quota(quota(), QuotaRequest(amount=2, is_best_effort=True)))
    ((script, _, args),) = redis.asked
    assert ROLLING_WINDOW == script
    assert [3, 1_000_000, 100_000, 1, 2, "", 0] == args


@pytest.mark.parametrize(
    ("amount", "asked"),
    [(1 << 53, 1 << 53), ((1 << 53) + 1, (1 << 53) + 2), ((1 << 63) - 1, (1 << 53) + 2)],
)
def test_an_amount_beyond_all_limits_stays_beyond_them(opened, run_async, amount, asked):
    """Doubles have no 2^53 + 1: it would be 2^53, and a quota might have so much."""
    handler, _, redis = opened()
    redis.answers = [[0, 1, 3]]
    run_async(handler.quota(quota(), QuotaRequest(amount=amount)))
    ((_, _, words),) = redis.asked
    assert (asked, asked) == (words[4], int(float(words[4])))


def test_an_override_has_its_limit(opened, run_async):
    """For its dimensions only."""
    handler, _, redis = opened(f"{FIXED}, overrides: [{{dimensions: {{user: ben}}, maxAmount: 9}}]")
    redis.answers = [[1, 1, 2], [1, 1, 8]]
    request = QuotaRequest(amount=1)
    limits = [run_async(handler.quota(quota(user), request)).limit for user in ("ann", "ben")]
    assert [(3, 2), (9, 8)] == [(one.amount, one.remaining) for one in limits]
    assert [3, 9] == [args[0] for _, _, args in redis.asked]


def test_nothing_left_is_resource_exhausted(opened, run_async):
    """With the original's words."""
    handler, context, redis = opened()
    redis.answers = [[0, 500_000, 1]]
    answer = run_async(handler.quota(quota(), QuotaRequest(amount=2)))
    expected = Status(Code.RESOURCE_EXHAUSTED, "redisquota: Resource exhausted")
    assert (0, expected) == (answer.amount, answer.status)
    assert 1 == answer.limit.remaining
    assert 1 == context.counts["exhausted"]


@pytest.mark.parametrize(
    ("policy", "answer"),
    [
        (
            "UNAVAILABLE",
            QuotaAnswer(status=Status(Code.UNAVAILABLE, "redisquota: Service Unavailable")),
        ),
        ("GRANT", QuotaAnswer(amount=2, valid_duration=1.0)),
        (
            "DENY",
            QuotaAnswer(
                status=Status(Code.RESOURCE_EXHAUSTED, "redisquota: Redis cannot be asked")
            ),
        ),
    ],
)
def test_without_redis_the_policy_counts(opened, run_async, policy, answer):
    """And Redis is left alone for a second, so that a late one does not hold up everything."""
    handler, context, redis = opened(more=f", onFailure: {policy}")
    redis.answers = [NotConnected("gone"), [2, 1_000_000, 1]]

    async def main():
        request = QuotaRequest(amount=2)
        assert answer == await handler.quota(quota(), request)
        assert answer == await handler.quota(quota(), request)
        assert 1 == len(redis.asked)
        await context.clock.advance(1)
        assert 2 == (await handler.quota(quota(), request)).amount

    run_async(main())
    assert (1, 2) == (context.counts["redis_failures"], context.counts["answers_without_redis"])


def test_an_outage_is_told_once(opened, run_async, caplog):
    """Redis is tried each second of it, and its end is told."""
    caplog.set_level("INFO", logger="meshregistry.mixer")
    handler, context, redis = opened()
    redis.answers = [*(NotConnected("gone") for _ in range(3)), *([[2, 1_000_000, 1]] * 2)]

    async def main():
        for _ in range(5):
            await handler.quota(quota(), QuotaRequest(amount=2))
            await context.clock.advance(1)

    run_async(main())
    assert 3 == context.counts["redis_failures"]
    assert [
        "Redis cannot be asked, quotas are answered by onFailure: UNAVAILABLE: gone",
        "Redis answers again",
    ] == caplog.messages


def test_what_has_an_id_is_tried_again(opened, run_async):
    """It is granted once; what has none might be taken twice."""
    handler, context, redis = opened()
    redis.answers = [NotConnected("stale"), [2, 1_000_000, 1], NotConnected("stale"), [2, 1, 1]]

    async def main():
        request = QuotaRequest(amount=2, deduplication_id="x")
        assert 2 == (await handler.quota(quota(), request)).amount
        answer = await handler.quota(quota(), QuotaRequest(amount=2))
        assert Code.UNAVAILABLE == answer.status.code

    run_async(main())
    assert 1 == context.counts["retries"]


def test_a_redis_that_is_not_there_stops_no_handler(opened, run_async):
    """The policy holds from the start; closing closes the connections."""
    handler, context, redis = opened()
    redis.answers = [NotConnected("refused")]

    async def main():
        await handler.start()
        answer = await handler.quota(quota(), QuotaRequest(amount=1))
        await handler.close()
        return answer

    assert Code.UNAVAILABLE == run_async(main()).status.code
    assert redis.is_closed
    assert 1 == context.counts["redis_failures"]


def test_keys_cannot_be_forged(adapters):
    """Values with marks of the key are quoted; what changes the meaning is part of it."""
    plan, _ = adapters.plan("redisquota", f"{{quotas: [{{{ROLLING}}}]}}", INSTANCES)
    (limit,) = plan.config.quotas
    assert "{q.instance.ns;user=a%3Bb%3D%7Dc}.ROLLING_WINDOW,1,0.1" == redis_key(
        key_of(quota("a;b=}c")), limit
    )


@pytest.mark.parametrize(
    ("params", "fault"),
    [
        (
            "{}",
            (
                "spec.params: quotas: rules send q.instance.ns, which has no limit; add it, with name "
                "and maxAmount"
            ),
        ),
        (
            f"{{quotas: [{{{FIXED}, rateLimitAlgorithm: ROLLING_WINDOW}}]}}",
            (
                "spec.params.quotas: q.instance.ns: a rolling window needs a bucketDuration of at "
                "least 1ms, shorter than validDuration"
            ),
        ),
        (
            f"{{quotas: [{{name: {NAME}, maxAmount: 3, validDuration: 0s}}]}}",
            "spec.params.quotas: q.instance.ns: validDuration must be more than 0",
        ),
        (
            f"{{quotas: [{{{FIXED}, overrides: [{{dimensions: {{}}, maxAmount: 1}}]}}]}}",
            (
                "spec.params.quotas: q.instance.ns: an override has no dimensions; take it out, or "
                "change maxAmount"
            ),
        ),
        (
            f"{{quotas: [{{{FIXED}, overrides: [{{dimensions: {{user: a}}, maxAmount: 0}}]}}]}}",
            "spec.params.quotas: q.instance.ns: the maxAmount of an override must be from 1 to 2^53",
        ),
        (
            f"{{quotas: [{{{FIXED}}}], redisServerUrl: 'http://x'}}",
            (
                "spec.params.redisServerUrl: 'http://x' is no address of Redis; write host:port, "
                "redis:// or rediss://"
            ),
        ),
        (
            f"{{quotas: [{{{FIXED}}}], connectionPoolSize: 0}}",
            "spec.params.connectionPoolSize: must be at least 1",
        ),
    ],
)
def test_faults_are_found_before_anything_runs(adapters, params, fault):
    """With their field and a remedy."""
    assert (None, [fault]) == adapters.plan("redisquota", params, INSTANCES)


def test_the_package_is_named_that_is_missing(adapters, monkeypatch):
    """With the extra that has it."""
    plan, _ = adapters.plan("redisquota", f"{{quotas: [{{{FIXED}}}]}}", INSTANCES)

    def gone(name):
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(_extra, "import_module", gone)
    with pytest.raises(MissingExtraError, match="mixer-redis"):
        connected(plan.config)
