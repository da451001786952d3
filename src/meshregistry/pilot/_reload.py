"""What a reload did, section by section."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from meshregistry.settings import Settings


@frozen(kw_only=True)
class ReloadReport:
    """The outcome of `Pilot.reload`, as names such as ``sources.dc1``, ``mesh``, ``server``.

    Attributes:
        applied: what is in force now.
        needs_restart: what differs and is not in force before a restart.
        unchanged: what is the same.
    """

    applied: tuple[str, ...]
    needs_restart: tuple[str, ...]
    unchanged: tuple[str, ...]


def compare(old: Settings, new: Settings) -> ReloadReport:
    """Say which sections of the settings differ, and which of them a reload applies."""
    before = {f"sources.{source.id}": source.fingerprint for source in old.sources}
    after = {f"sources.{source.id}": source.fingerprint for source in new.sources}
    differs = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    if not differs and [*before] != [*after]:
        differs.add("sources")  # the order is precedence
    if old.mesh != new.mesh:
        differs.add("mesh")
    restart = [name for name in ("server",) if getattr(old, name) != getattr(new, name)]
    every = dict.fromkeys([*after, *before, "sources", "mesh", "server"])
    return ReloadReport(
        applied=tuple(name for name in every if name in differs),
        needs_restart=tuple(restart),
        unchanged=tuple(name for name in every if name not in differs and name not in restart),
    )
