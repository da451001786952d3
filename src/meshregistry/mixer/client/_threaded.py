"""The client for threaded programs: an event loop of its own, in a thread of its own."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Self, TypeVar

from meshregistry.errors import MixerError
from meshregistry.loop_thread import LoopLeft, LoopThread
from meshregistry.mixer._attributes import AttributeBag
from meshregistry.mixer.client._client import MixerClient
from meshregistry.mixer.client._options import ClientOptions
from meshregistry.mixer.vocabulary import STANDARD

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping, Sequence

    from meshregistry.mixer._manifest import Manifest
    from meshregistry.mixer.client._result import CheckResult, FailPolicy
    from meshregistry.model import Metric

T = TypeVar("T")

# The loop keeps the deadline; this is for a loop that is stuck.
_GRACE = 5.0


class ThreadedMixerClient:
    """A `MixerClient` whose methods may be called from any thread.

    A context manager. A cached answer is given on the caller's thread. Make it after a
    program has forked its workers: threads do not survive that.

    Args:
        servers: as for `MixerClient`.
        options: as for `MixerClient`.
        manifest: as for `MixerClient`.
        more: further arguments of `MixerClient`.
    """

    def __init__(
        self,
        servers: str | Sequence[str] = (),
        *,
        options: ClientOptions | None = None,
        manifest: Manifest = STANDARD,
        **more: Any,
    ) -> None:
        self._options = options or ClientOptions()
        self._manifest = manifest
        self._arguments: dict[str, Any] = {"servers": servers, "options": self._options, **more}
        self._client: MixerClient | None = None
        # What was counted can be read when the client is closed, too.
        self._counting: MixerClient | None = None
        self._loop = LoopThread("the client", "mixer client")
        self._lock = threading.Lock()
        self._reports: deque[AttributeBag] = deque()
        self._dropped = 0
        # Those of them that the client has not been told of.
        self._late = 0

    def __enter__(self) -> Self:
        self._loop.start()
        try:
            self._client = self._counting = self._run(self._start(), None)
        except BaseException:
            self._loop.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client is None:
            return
        try:
            self._run(self._finished(client), None)
        finally:
            self._loop.stop()

    def check(
        self,
        attributes: AttributeBag | Mapping[str, object],
        *,
        quotas: Mapping[str, int] | None = None,
        fail_policy: FailPolicy | None = None,
        timeout: float | None = None,
    ) -> CheckResult:
        """As `MixerClient.check`; blocks the thread until the result is there.

        Raises:
            TypeError, ValueError: if an attribute is not as the manifest declares it.
            MixerUnavailable: if no server can be asked, and the policy is `RAISE`.
            MixerError: if the client is not open, or left meanwhile.
        """
        client = self._opened()
        bag = self._bag(attributes)
        if not quotas:
            found = client.cached(bag, fail_policy=fail_policy)
            if found is not None:
                return found
        seconds = self._options.timeout if timeout is None else timeout
        call = client.check(bag, quotas=quotas, fail_policy=fail_policy, timeout=seconds)
        return self._run(call, seconds + _GRACE)

    def report(self, attributes: AttributeBag | Mapping[str, object]) -> None:
        """As `MixerClient.report`: never waits.

        Raises:
            TypeError, ValueError: if an attribute is not as the manifest declares it.
        """
        bag = self._bag(attributes)
        with self._lock:
            # Within the lock, so that closing begins before this or after it.
            client = self._client
            # What the loop has not fetched yet is bounded as what it has.
            is_full = len(self._reports) >= self._options.report_queue_size
            if client is None or is_full:
                self._dropped += 1
                self._late += is_full
                return
            self._reports.append(bag)
            if len(self._reports) == 1:
                self._loop.call_soon(self._drain, client)

    def flush(self) -> None:
        """Wait until every report so far is sent or given up."""
        client = self._opened()

        async def drained() -> None:
            self._drain(client)
            await client.flush()

        self._run(drained(), None)

    @property
    def dropped_reports(self) -> int:
        """How many reports did not even reach the loop: it was late, or not running."""
        return self._dropped

    def statistics(self) -> Mapping[str, int]:
        """As `MixerClient.statistics`; when the client is closed, what it counted until then."""
        return (self._counting or self._opened()).statistics()

    def metrics(self) -> tuple[Metric, ...]:
        """As `MixerClient.metrics`; likewise."""
        return (self._counting or self._opened()).metrics()

    async def _start(self) -> MixerClient:
        client = MixerClient(manifest=self._manifest, is_shared=True, **self._arguments)
        return await client.__aenter__()

    async def _finished(self, client: MixerClient) -> None:
        # On the loop, as everything that touches the client's queue.
        self._drain(client)
        await client.close()

    def _drain(self, client: MixerClient) -> None:
        with self._lock:
            found, self._reports = self._reports, deque()
            late, self._late = self._late, 0
        client.count_dropped(late)
        for bag in found:
            client.report(bag)

    def _bag(self, attributes: AttributeBag | Mapping[str, object]) -> AttributeBag:
        if isinstance(attributes, AttributeBag):
            return attributes
        return self._manifest.bag(attributes)

    def _opened(self) -> MixerClient:
        if self._client is None:
            raise MixerError("the client is not open; use it within `with`")
        return self._client

    def _run(self, coroutine: Coroutine[Any, Any, T], timeout: float | None) -> T:
        try:
            return self._loop.run(coroutine, timeout)
        except LoopLeft as error:
            raise MixerError(str(error)) from None
