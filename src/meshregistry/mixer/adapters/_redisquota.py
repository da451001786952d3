"""``redisquota``: quotas in Redis, exact for any number of servers."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote

from attrs import field, frozen

from meshregistry.documents import Seconds
from meshregistry.mixer.adapters._dimensions import Key, faults_of, key_of, override_for
from meshregistry.mixer.adapters._extra import imported
from meshregistry.mixer.adapters._redis_scripts import FIXED_WINDOW, ROLLING_WINDOW
from meshregistry.mixer.adapters._trouble import Trouble
from meshregistry.mixer.spi import (
    QUOTA,
    Code,
    Handler,
    MixerAdapter,
    QuotaAnswer,
    QuotaLimit,
    Status,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from meshregistry.mixer.spi import HandlerContext, InstanceTypes, Quota, QuotaRequest

Algorithm = Literal["FIXED_WINDOW", "ROLLING_WINDOW"]

_EXTRA = "mixer-redis"
_ADDRESS = re.compile(r"(rediss?://\S+|[^\s:/]+(:\d+)?|\[[0-9a-fA-F:.]+\](:\d+)?)")
_MICROSECONDS = 1_000_000
_RETRY = 1.0
"""Seconds after a failure in which Redis is left alone."""
_HOLDS = 1.0
"""Seconds for which a share holds that was granted without Redis."""
_SHORTEST_BUCKET = 0.001
_LARGEST_AMOUNT = 1 << 53  # numbers of Redis' scripts are doubles


@frozen(kw_only=True)
class RedisquotaOverride:
    """Another limit for some dimensions, within the same window.

    Attributes:
        dimensions: what they must be, as texts; an instance may have more of them.
        max_amount: the limit.
    """

    dimensions: dict[str, str]
    max_amount: int


@frozen(kw_only=True)
class RedisquotaLimit:
    """The limit of one quota; each set of dimensions has it for itself.

    Attributes:
        name: of the instance, ``name.instance.namespace``.
        max_amount: how much may be taken within a window.
        valid_duration: of the window.
        bucket_duration: of a rolling window: it is counted in buckets of this length, and a
            share comes back up to one of them late.
        rate_limit_algorithm: a fixed window begins with a request and lets all come back at its
            end, so twice the limit can pass around it; a rolling one does not.
        overrides: limits that go before it; the first counts whose dimensions all fit.
    """

    name: str
    max_amount: int
    valid_duration: Seconds
    bucket_duration: Seconds = Seconds(0.0)
    rate_limit_algorithm: Algorithm = "FIXED_WINDOW"
    overrides: list[RedisquotaOverride] = field(factory=list)


@frozen(kw_only=True)
class RedisquotaConfig:
    """Parameters of ``redisquota``.

    Attributes:
        quotas: the limits; every instance that is sent here needs one.
        redis_server_url: ``host:port``, or ``redis://`` or, with TLS, ``rediss://`` with user,
            password and number of a database.
        connection_pool_size: connections to Redis, at most.
        timeout: how long an answer of Redis may take; for connecting, likewise.
        on_failure: what is answered while Redis cannot be asked: GRANT, DENY, or UNAVAILABLE, by
            which Envoys pass, and clients of Mixer if they fail open.
    """

    quotas: list[RedisquotaLimit] = field(factory=list)
    redis_server_url: str = "localhost:6379"
    connection_pool_size: int = 10
    timeout: Seconds = Seconds(1.0)
    on_failure: Literal["UNAVAILABLE", "GRANT", "DENY"] = "UNAVAILABLE"


def _faults(config: RedisquotaConfig, instances: Mapping[str, InstanceTypes]) -> Iterable[str]:
    url = config.redis_server_url
    if not _ADDRESS.fullmatch(url):
        yield (
            f"redis_server_url: {url!r} is no address of Redis; write host:port, redis:// or "
            "rediss://"
        )
    if config.connection_pool_size < 1:
        yield "connection_pool_size: must be at least 1"
    if config.timeout <= 0:
        yield "timeout: must be more than 0"
    for limit in config.quotas:
        yield from (f"quotas: {limit.name}: {fault}" for fault in _of_limit(limit))
    yield from faults_of(config.quotas, instances)


def _of_limit(limit: RedisquotaLimit) -> Iterable[str]:
    if not 0 <= limit.max_amount <= _LARGEST_AMOUNT:
        yield "maxAmount must be from 0 to 2^53"
    if limit.valid_duration <= 0:
        yield "validDuration must be more than 0"
    is_rolling = limit.rate_limit_algorithm == "ROLLING_WINDOW"
    if is_rolling and not _SHORTEST_BUCKET <= limit.bucket_duration < limit.valid_duration:
        yield "a rolling window needs a bucketDuration of at least 1ms, shorter than validDuration"
    for override in limit.overrides:
        if not override.dimensions:
            yield "an override has no dimensions; take it out, or change maxAmount"
        if not 0 < override.max_amount <= _LARGEST_AMOUNT:
            yield "the maxAmount of an override must be from 1 to 2^53"


def connected(config: RedisquotaConfig) -> Any:
    """A client of Redis that connects when it is used.

    It tries nothing again: whether a request whose answer is lost was carried out is not known,
    and only the handler knows whether it may be repeated.

    Raises:
        MissingExtraError: if the package ``redis`` is not there.
        ValueError: if the address is none.
    """
    redis = imported("redis.asyncio", _EXTRA)
    url = config.redis_server_url
    pool = redis.BlockingConnectionPool.from_url(
        url if "://" in url else f"redis://{url}",
        max_connections=config.connection_pool_size,
        timeout=config.timeout,
        socket_timeout=config.timeout,
        socket_connect_timeout=config.timeout,
        retry=imported("redis.asyncio.retry", _EXTRA).Retry(
            imported("redis.backoff", _EXTRA).NoBackoff(), 0
        ),
    )
    return redis.Redis(connection_pool=pool)


class RedisquotaHandler(Handler):
    """Asks Redis, which counts.

    Args:
        config: the parameters.
        context: what the server gives.
        connect: makes a client of Redis.
    """

    def __init__(
        self,
        config: RedisquotaConfig,
        context: HandlerContext,
        *,
        connect: Callable[[RedisquotaConfig], Any] = connected,
    ) -> None:
        self._config = config
        self._context = context
        self._trouble = Trouble(context)
        self._limits = {one.name: one for one in config.quotas}
        # Made here, since a package that is missing is to be told at once; it does nothing yet.
        self._redis = connect(config)
        self._scripts: Mapping[Algorithm, Any] = {
            "FIXED_WINDOW": self._redis.register_script(FIXED_WINDOW),
            "ROLLING_WINDOW": self._redis.register_script(ROLLING_WINDOW),
        }
        self._errors = _errors()
        self._rests_until = -math.inf

    async def start(self) -> None:
        """Ask whether Redis is there. If it is not, the policy holds until it is."""
        try:
            await self._redis.ping()
        except self._errors as error:
            self._failed(error)

    async def close(self) -> None:
        await self._redis.aclose(close_connection_pool=True)

    async def quota(self, instance: Quota, request: QuotaRequest) -> QuotaAnswer:
        if not request.amount:
            return QuotaAnswer()
        now = self._context.now()
        if now < self._rests_until:
            return self._without_redis(request)
        limit = self._limits[instance.name]
        override = override_for(instance, limit.overrides)
        most = (override or limit).max_amount
        key = redis_key(key_of(instance), limit)
        words = [
            most,
            _microseconds(limit.valid_duration),
            _microseconds(limit.bucket_duration),
            int(request.is_best_effort),
            _countable(request.amount),
            "",
            int(bool(request.deduplication_id)),
        ]
        keys = [f"{key}.meta", f"{key}.data", f"{key}.{quote(request.deduplication_id)}.meta"]
        try:
            granted, ttl, left = await self._asked(limit.rate_limit_algorithm, keys, words)
        except self._errors as error:
            self._failed(error)
            return self._without_redis(request)
        self._trouble.is_over("Redis answers again")
        known = QuotaLimit(amount=most, window=limit.valid_duration, remaining=left)
        return self._answer(request, granted, ttl, known)

    async def _asked(
        self, algorithm: Algorithm, keys: list[str], words: list[Any]
    ) -> tuple[int, float, int]:
        """What a script grants, for how many seconds, and what is left."""
        script, has_id = self._scripts[algorithm], bool(words[-1])
        try:
            granted, ttl, left = await script(keys=keys, args=words)
        except self._errors:
            # What has an id is granted once, however often it is said. A connection that was
            # lost while it lay in the pool is the usual reason.
            if not has_id:
                raise
            self._context.count("retries")
            granted, ttl, left = await script(keys=keys, args=words)
        return int(granted), int(ttl) / _MICROSECONDS, int(left)

    def _answer(
        self, request: QuotaRequest, granted: int, ttl: float, known: QuotaLimit
    ) -> QuotaAnswer:
        if request.amount > 0 and granted <= 0:
            self._context.count("exhausted")
            status = Status(Code.RESOURCE_EXHAUSTED, "redisquota: Resource exhausted")
            return QuotaAnswer(valid_duration=ttl, status=status, limit=known)
        return QuotaAnswer(amount=granted, valid_duration=ttl, limit=known)

    def _failed(self, error: Exception) -> None:
        # One that is late would hold up every request that comes after it.
        self._rests_until = self._context.now() + _RETRY
        self._context.count("redis_failures")
        self._trouble.is_there(
            "Redis cannot be asked, quotas are answered by onFailure: "
            f"{self._config.on_failure}: {error}"
        )

    def _without_redis(self, request: QuotaRequest) -> QuotaAnswer:
        self._context.count("answers_without_redis")
        match self._config.on_failure:
            case "GRANT":
                return QuotaAnswer(amount=request.amount, valid_duration=_HOLDS)
            case "DENY":
                status = Status(Code.RESOURCE_EXHAUSTED, "redisquota: Redis cannot be asked")
            case _:
                status = Status(Code.UNAVAILABLE, "redisquota: Service Unavailable")
        return QuotaAnswer(status=status)


def redis_key(key: Key, limit: RedisquotaLimit) -> str:
    """What a quota is kept under in Redis, without the endings.

    Everything that changes the meaning of what is kept is part of it. Braces put all keys of
    a quota into one slot of a cluster; what could be taken for a mark of ours is quoted.
    """
    name, dimensions = key
    parts = [quote(name), *(f"{quote(one)}={quote(text)}" for one, text in dimensions)]
    window = f"{limit.rate_limit_algorithm},{limit.valid_duration:g},{limit.bucket_duration:g}"
    return f"{{{';'.join(parts)}}}.{window}"


def _countable(amount: int) -> int:
    """An amount that scripts have exactly: one beyond all limits is another one beyond them."""
    return amount if amount <= _LARGEST_AMOUNT else _LARGEST_AMOUNT + 2


def _microseconds(seconds: float) -> int:
    return round(seconds * _MICROSECONDS)


def _errors() -> tuple[type[Exception], ...]:
    """What a client of Redis raises when Redis cannot be asked."""
    return (imported("redis.exceptions", _EXTRA).RedisError, OSError, TimeoutError)


REDISQUOTA: Final = MixerAdapter(
    name="redisquota",
    config_class=RedisquotaConfig,
    templates=(QUOTA,),
    open=RedisquotaHandler,
    check=_faults,
    summary="quotas in Redis, exact for any number of servers",
)
