"""What a reload does, section by section."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve, frozen

if TYPE_CHECKING:
    from meshregistry.aggregate import Reconfigured
    from meshregistry.pilot._rule_sources import RulesReconfigured
    from meshregistry.settings import Settings


@frozen(kw_only=True)
class ReloadReport:
    """The outcome of `Pilot.reload`, as names such as ``sources.dc1``, ``mesh``, ``server``.

    Attributes:
        applied: what is in force now; ``sources`` alone is their order, and so is ``rules``.
        needs_restart: what differs and is not in force before a restart.
        unchanged: what is the same.
    """

    applied: tuple[str, ...]
    needs_restart: tuple[str, ...]
    unchanged: tuple[str, ...]


def in_force(old: Settings, new: Settings) -> Settings:
    """The new settings, but for what only a restart brings into force.

    Listeners are bound once, adapters were told the domain, and snapshots have their place.
    """
    mesh = evolve(new.mesh, domain=old.mesh.domain)
    return evolve(new, server=old.server, mesh=mesh, snapshot=old.snapshot)


def compare(
    old: Settings, new: Settings, done: Reconfigured, rules: RulesReconfigured
) -> ReloadReport:
    """Say which sections differ, and which of them a reload has applied.

    Args:
        old: the settings that were in force.
        new: the settings that were asked for.
        done: what became of the sources.
        rules: what became of the rule sources.
    """
    applied = [f"sources.{one}" for one in (*done.added, *done.changed, *done.removed)]
    if _is_other_order([one.id for one in old.sources], [one.id for one in new.sources]):
        applied.append("sources")  # their order is precedence
    applied += [f"rules.{one}" for one in (*rules.added, *rules.changed, *rules.removed)]
    if _is_other_order([one.id for one in old.rules], [one.id for one in new.rules]):
        applied.append("rules")
    differs = {
        "identity": old.identity != new.identity,
        "merge": old.merge != new.merge,
        "sync_timeout": old.sync_timeout != new.sync_timeout,
        "mesh": evolve(new.mesh, domain=old.mesh.domain) != old.mesh,
        "mesh.domain": old.mesh.domain != new.mesh.domain,
        "server": old.server != new.server,
        "snapshot": old.snapshot != new.snapshot,
        "rules": any(one.startswith("rules") for one in applied),
    }
    needs_restart = [name for name in ("mesh.domain", "server", "snapshot") if differs[name]]
    applied += [name for name in ("sync_timeout", "identity", "merge", "mesh") if differs[name]]
    unchanged = [f"sources.{one}" for one in done.unchanged]
    unchanged += [f"rules.{one}" for one in rules.unchanged if differs["rules"]]
    unchanged += [
        name for name in ("identity", "merge", "mesh", "server", "rules") if not differs[name]
    ]
    return ReloadReport(
        applied=tuple(applied), needs_restart=tuple(needs_restart), unchanged=tuple(unchanged)
    )


def _is_other_order(old: list[str], new: list[str]) -> bool:
    kept = set(old) & set(new)
    return [one for one in old if one in kept] != [one for one in new if one in kept]
