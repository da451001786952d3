"""Small HTTP backends that say who they are, and requests that count who answered."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Self

import aiohttp
from aiohttp import web

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable


class Backend:
    """Answers every request with its version; leaving the context stops it.

    Args:
        version: the text of its answers.
        address: where it listens.
        port: on which port; 0 is chosen by the system, and replaced by the real one.
        tls: for answers over TLS.
    """

    def __init__(
        self,
        version: str,
        *,
        address: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.version = version
        self.address = address
        self.port = port
        self._tls = tls
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_route("*", "/{tail:.*}", self._answer)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.address, self.port, ssl_context=self._tls).start()
        self.port = int(self._runner.addresses[0][1])
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        return web.Response(text=self.version)


class Echo(Backend):
    """Answers with what it was asked, as JSON: version, path and query, headers.

    Attributes:
        seen: the number of requests so far.
    """

    seen = 0

    async def _answer(self, request: web.Request) -> web.Response:
        self.seen += 1
        headers = {name.lower(): value for name, value in request.headers.items()}
        return web.json_response(
            {"version": self.version, "path": request.path_qs, "headers": headers}
        )


class Traffic:
    """Requests on a few connections, one after the other on each, until the context is left.

    Args:
        url: what to ask for.
        host: the ``Host`` header, if it is not the URL's.
        workers: how many requests are under way at once.
        pause: seconds between two requests of a worker.
        limit: give up after so many requests in all.

    Attributes:
        answers: how often each text was answered with status 200.
        failures: what went wrong, in words: another status, or no answer.
    """

    def __init__(
        self,
        url: str,
        *,
        host: str | None = None,
        workers: int = 2,
        pause: float = 0.005,
        limit: int = 50_000,
    ) -> None:
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        self._url = url
        self._headers = {"Host": host} if host else {}
        self._workers = workers
        self._pause = pause
        self._limit = limit
        self._tasks: list[asyncio.Task[None]] = []
        self._news = asyncio.Condition()

    @property
    def requests(self) -> int:
        """How many requests have been answered or have failed."""
        return self.answers.total() + len(self.failures)

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._work()) for _ in range(self._workers)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def until(self, holds: Callable[[], bool], *, timeout: float = 20.0) -> None:
        """Wait until the counts meet a condition.

        Raises:
            TimeoutError: with the counts so far.
        """
        try:
            async with asyncio.timeout(timeout), self._news:
                await self._news.wait_for(holds)
        except TimeoutError:
            raise TimeoutError(f"answers {self.answers}, failures {self.failures[-3:]}") from None

    async def only(self, *versions: str, timeout: float = 20.0) -> None:
        """Wait until a run of answers comes from these versions, each of them, and no other."""
        run = 20
        while True:
            before = self.answers.copy()
            start = self.requests
            await self.until(lambda start=start: self.requests >= start + run, timeout=timeout)
            if set(self.answers - before) == set(versions):
                return

    async def _work(self) -> None:
        async with aiohttp.ClientSession(headers=self._headers) as http:
            while self.requests < self._limit:
                await self._request(http)
                async with self._news:
                    self._news.notify_all()
                await asyncio.sleep(self._pause)

    async def _request(self, http: aiohttp.ClientSession) -> None:
        try:
            async with http.get(self._url, timeout=aiohttp.ClientTimeout(5)) as answer:
                text = await answer.text()
                if answer.status == 200:
                    self.answers[text] += 1
                else:
                    self.failures.append(f"status {answer.status}: {text[:100]}")
        except (aiohttp.ClientError, TimeoutError) as error:
            self.failures.append(repr(error))


async def first_answer(url: str, *, host: str | None = None, timeout: float = 20.0) -> str:
    """Ask until there is an answer with status 200, and return its text.

    Raises:
        TimeoutError: if there is none in time.
    """
    async with asyncio.timeout(timeout), aiohttp.ClientSession() as http:
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with http.get(url, headers={"Host": host} if host else {}) as answer:
                    if answer.status == 200:
                        return await answer.text()
            await asyncio.sleep(0.01)
