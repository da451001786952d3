"""A real Prometheus on the loopback interface: Debian's program, unpacked and not installed."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import aiohttp

from servers.ports import free_port
from servers.process import ChildProcess
from servers.recipes import Recipe, command, unpack_debian

if TYPE_CHECKING:
    from collections.abc import Sequence


def _install(folder: Path) -> None:
    """The package is unpacked, which needs no rights."""
    with tempfile.TemporaryDirectory() as scratch:
        unpack_debian(["prometheus"], Path(scratch))
        shutil.copy(Path(scratch) / "usr/bin/prometheus", folder / "prometheus")
    said = command([folder / "prometheus", "--version"])
    if "prometheus, version" not in said:
        raise RuntimeError(f"prometheus says {said.strip()} when it is asked for its version")


PROMETHEUS = Recipe(name="prometheus", version="debian 1", install=_install)


class Prometheus:
    """One server that scrapes these ports; an async context manager.

    Args:
        folder: where the recipe has put it.
        data: for its configuration, its data and its log.
        targets: ``host:port`` of each.
        interval: milliseconds between two scrapes.
    """

    def __init__(
        self, folder: Path, data: Path, targets: Sequence[str], *, interval: int = 250
    ) -> None:
        self._binary = folder / "prometheus"
        self._data = data
        self._targets = tuple(targets)
        self._interval = interval
        self._url = f"http://127.0.0.1:{free_port()}"
        self._process: ChildProcess | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        every = f"{self._interval}ms"
        configuration = {
            "global": {"scrape_interval": every, "scrape_timeout": every},
            "scrape_configs": [
                {"job_name": "mixer", "static_configs": [{"targets": list(self._targets)}]}
            ],
        }
        file = self._data / "prometheus.yml"
        file.write_text(json.dumps(configuration), encoding="utf-8")  # JSON is YAML, too
        words = [
            *(str(self._binary), f"--config.file={file}"),
            f"--storage.tsdb.path={self._data / 'prometheus'}",
            f"--web.listen-address={self._url.removeprefix('http://')}",
            "--log.level=warn",
        ]
        self._session = aiohttp.ClientSession()
        self._process = ChildProcess(words, log=self._data / "prometheus.log")
        await self._process.__aenter__()
        await self._process.until(self._is_ready, what="Prometheus is ready")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        assert self._session is not None
        await self._session.close()
        await self._process.stop()

    async def query(self, expression: str, *, at: float | None = None) -> dict[str, float]:
        """The value of each series of an instant query, by its labels as text.

        Args:
            expression: the query.
            at: seconds since the epoch; default: now.

        Raises:
            ValueError: if Prometheus does not understand it, with what it says.
        """
        assert self._session is not None
        asked = {"query": expression} if at is None else {"query": expression, "time": str(at)}
        async with self._session.get(f"{self._url}/api/v1/query", params=asked) as response:
            answer: dict[str, Any] = await response.json()
        if answer["status"] != "success":
            raise ValueError(f"{expression}: {answer['error']}")
        return {
            ",".join(f"{name}={value}" for name, value in sorted(one["metric"].items())): float(
                one["value"][1]
            )
            for one in answer["data"]["result"]
        }

    async def until(self, expression: str, *, timeout: float = 20.0) -> dict[str, float]:
        """Wait until a query has a result, which is that of one moment.

        Another query need not find the same: where a scrape takes too long, there is nothing
        until the next one.
        """
        assert self._process is not None
        found: dict[str, float] = {}

        async def is_there() -> bool:
            found.update(await self.query(expression))
            return bool(found)

        await self._process.until(is_there, what=f"{expression} has a result", timeout=timeout)
        return found

    async def _is_ready(self) -> bool:
        assert self._session is not None
        try:
            async with self._session.get(f"{self._url}/-/ready") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False
