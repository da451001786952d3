"""What a reload does, section by section."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve, frozen

if TYPE_CHECKING:
    from meshregistry.aggregate import Reconfigured
    from meshregistry.settings import Settings


@frozen(kw_only=True)
class ReloadReport:
    """The outcome of `Pilot.reload`, as names such as ``sources.dc1``, ``mesh``, ``server``.

    Attributes:
        applied: what is in force now; ``sources`` alone is their order.
        needs_restart: what differs and is not in force before a restart.
        unchanged: what is the same.
    """

    applied: tuple[str, ...]
    needs_restart: tuple[str, ...]
    unchanged: tuple[str, ...]


def in_force(old: Settings, new: Settings) -> Settings:
    """The new settings, but for what only a restart brings into force.

    Listeners are bound once, rule sources run from start to end, and adapters were told
    the domain.
    """
    mesh = evolve(new.mesh, domain=old.mesh.domain)
    return evolve(new, server=old.server, mesh=mesh, rules=old.rules)


def compare(old: Settings, new: Settings, done: Reconfigured) -> ReloadReport:
    """Say which sections differ, and which of them a reload has applied.

    Args:
        old: the settings that were in force.
        new: the settings that were asked for.
        done: what became of the sources.
    """
    applied = [f"sources.{one}" for one in (*done.added, *done.changed, *done.removed)]
    kept = {one.id for one in old.sources} & {one.id for one in new.sources}
    order = [[one.id for one in many.sources if one.id in kept] for many in (old, new)]
    if order[0] != order[1]:
        applied.append("sources")  # their order is precedence
    differs = {
        "sync_timeout": old.sync_timeout != new.sync_timeout,
        "mesh": evolve(new.mesh, domain=old.mesh.domain) != old.mesh,
        "mesh.domain": old.mesh.domain != new.mesh.domain,
        "server": old.server != new.server,
        "rules": [one.fingerprint for one in old.rules] != [one.fingerprint for one in new.rules],
    }
    needs_restart = [name for name in ("mesh.domain", "server", "rules") if differs[name]]
    applied += [name for name in ("sync_timeout", "mesh") if differs[name]]
    unchanged = [f"sources.{one}" for one in done.unchanged]
    unchanged += [name for name in ("mesh", "server", "rules") if not differs[name]]
    return ReloadReport(
        applied=tuple(applied), needs_restart=tuple(needs_restart), unchanged=tuple(unchanged)
    )
