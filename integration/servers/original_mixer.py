"""The original Mixer on the loopback interface: its server, its client, and back ends of its tests."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Self

import grpc.aio
import pytest

from meshregistry.mixer.proto.mixer_v1_pb2 import ReportRequest, ReportResponse
from servers import programs
from servers.ports import free_port
from servers.process import ChildProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PROGRAM = "original-mixer"
_REPORT = "/istio.mixer.v1.Mixer/Report"


def original_program() -> Path:
    """The program; without it the test skips with the reason."""
    found = programs.find(PROGRAM)
    if found is None:
        pytest.skip(programs.reason(PROGRAM))
    return found


class OriginalMixer:
    """The original's server, with documents of a folder; an async context manager.

    Args:
        program: where it is.
        config: folder of documents.
        data: for its log.

    Attributes:
        address: of its service.
        metrics_port: where its adapter `prometheus` shows metrics, if a rule uses it.
    """

    def __init__(self, program: Path, config: Path, data: Path) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self.metrics_port = free_port()
        command = [
            *(str(program), "mixs", "server", "--address", f"tcp://{self.address}"),
            *("--configStoreURL", f"fs://{config}", "--monitoringPort", str(free_port())),
            *("--ctrlz_port", str(free_port())),
        ]
        self._process = ChildProcess(
            command,
            log=data / "original.log",
            environment={"METRICS_ADDRESS": f"127.0.0.1:{self.metrics_port}"},
        )

    async def __aenter__(self) -> Self:
        await self._process.__aenter__()
        try:
            await self._process.until(self._is_ready, what="the original answers", timeout=30)
        except BaseException:
            await self._process.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._process.stop()

    @property
    def log(self) -> str:
        """What it wrote so far: among others what is wrong with its documents."""
        return self._process.log.read_text(errors="replace")

    async def _is_ready(self) -> bool:
        # It listens before it has read its documents, and answers after. A report without
        # entries leaves no trace.
        async with grpc.aio.insecure_channel(self.address) as channel:
            ask = channel.unary_unary(
                _REPORT,
                request_serializer=ReportRequest.SerializeToString,
                response_deserializer=ReportResponse.FromString,
            )
            try:
                await ask(ReportRequest(), timeout=2)
            except grpc.aio.AioRpcError:
                return False
            return True


async def ask_with_original(program: Path, *arguments: str) -> str:
    """What the original's client prints: ``check`` or ``report``, and what it is given."""
    process = await asyncio.create_subprocess_exec(
        str(program),
        "mixc",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    said = output.decode()
    assert process.returncode == 0, said
    # It logs what its connection does, a line each with the time and a level.
    return "\n".join(line for line in said.splitlines() if "\tinfo\t" not in line)


@asynccontextmanager
async def original_backend(program: Path, part: str, data: Path) -> AsyncIterator[str]:
    """The address of one of the original's adapters that run by themselves.

    Args:
        program: where it is.
        part: ``keyval`` or ``policy``.
        data: for its log.
    """
    port = free_port()
    process = ChildProcess([str(program), part, f"127.0.0.1:{port}"], log=data / f"{part}.log")

    async def is_ready() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    async with process:
        await process.until(is_ready, what=f"{part} listens")
        yield f"127.0.0.1:{port}"
