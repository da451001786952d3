"""Seven registries at once: each with one service, which gets a second instance, dies and returns."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self

from servers.consul import find_consul
from servers.etcd import find_built_etcd
from servers.eureka import RECIPE as EUREKA
from servers.kubernetes import missing_program
from servers.members import (
    ConsulMember,
    EtcdMember,
    EurekaMember,
    FileMember,
    GorouterMember,
    KubernetesMember,
    MesosMember,
)
from servers.mesos_recipe import MESOS
from servers.nats import NATS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from servers.members import Member
    from servers.recipes import Recipe


def absent() -> str | None:
    """Why the seven cannot be had, if they cannot."""
    if find_consul() is None or find_built_etcd() is None:
        return "there is no consul or etcd: `make servers` builds them"
    if (missing := missing_program()) is not None:
        return f"there is no {missing}: `make servers` builds it"
    recipes: Sequence[Recipe] = (EUREKA, MESOS, NATS)
    return next((one.reason() for one in recipes if one.find() is None), None)


class Seven:
    """All of them; an async context manager. They start side by side.

    Args:
        folder: for their data and logs.
    """

    def __init__(self, folder: Path) -> None:
        self.consul = ConsulMember(folder / "consul")
        self.eureka = EurekaMember(folder / "eureka")
        self.kubernetes = KubernetesMember(folder / "kubernetes")
        self.members: tuple[Member, ...] = (
            FileMember(folder / "file"),
            self.consul,
            EtcdMember(folder / "etcd"),
            self.kubernetes,
            self.eureka,
            MesosMember(folder / "mesos"),
            GorouterMember(folder / "nats"),
        )
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.TaskGroup() as group:
                for member in self.members:
                    # One whose start is cut short, because another's failed, has to be ended, too.
                    self._stack.push_async_exit(member)
                    group.create_task(member.__aenter__())
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def sources(self) -> list[dict[str, Any]]:
        """The settings of all sources; the id of each is its kind's first word."""
        return [{"id": name_of(one), "kind": one.kind, **one.source()} for one in self.members]


def name_of(member: Member) -> str:
    """The id of its source."""
    return member.kind.partition("-")[0]
