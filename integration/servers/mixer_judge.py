"""A Mixer server in a process of its own, with an adapter whose verdicts and notes tests can read.

Started with an address, a folder of documents and a journal; prints ``READY address`` and ends
when its input does. The adapter ``judge`` denies values that begin with a word, says in each
denial which generation of the configuration it is of, and writes the values of metrics into
the journal, one a line.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from meshregistry.mixer.server import MixerServer
from meshregistry.mixer.spi import (
    LIST_ENTRY,
    METRIC,
    CheckAnswer,
    Code,
    Handler,
    ListEntry,
    Metric,
    MixerAdapter,
    Status,
)
from servers.lines import LineProcess

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meshregistry.mixer.spi import HandlerContext


@frozen(kw_only=True)
class JudgeConfig:
    """What it denies, for how long its answers hold, and of which generation it is."""

    denied: str = "/no"
    seconds: float = 10.0
    generation: int = 0


class Judge(Handler):
    """Denies, allows and takes notes."""

    def __init__(self, config: JudgeConfig, journal: Path) -> None:
        self._config = config
        self._journal = journal

    async def check(self, instance: ListEntry) -> CheckAnswer:
        """By how the value begins."""
        config = self._config
        status = Status()
        if str(instance.value).startswith(config.denied):
            status = Status(Code.PERMISSION_DENIED, f"{config.generation}")
        return CheckAnswer(status=status, valid_duration=config.seconds, valid_use_count=-1)

    async def report(self, instances: Sequence[Metric]) -> None:
        """One line for each; a small write is done at once, and survives a kill."""
        with self._journal.open("a") as journal:
            journal.write("".join(f"{one.value}\n" for one in instances))


async def main(address: str, folder: str, journal: str) -> None:
    """Serve until the input ends."""

    def start(config: JudgeConfig, _context: HandlerContext) -> Judge:
        return Judge(config, Path(journal))

    judge = MixerAdapter(
        name="judge",
        config_class=JudgeConfig,
        templates=(LIST_ENTRY, METRIC),
        open=start,
        summary="for tests",
    )
    async with MixerServer(address, config=folder, adapters=[judge]) as server:
        print(f"READY {server.address}", flush=True)
        await asyncio.to_thread(sys.stdin.read)


def judge(address: str, folder: Path, journal: Path) -> LineProcess:
    """Such a server, about to start."""
    command = (sys.executable, "-m", "servers.mixer_judge", address, str(folder), str(journal))
    return LineProcess(*command, environment={"PYTHONPATH": str(Path(__file__).parent.parent)})


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
