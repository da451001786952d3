"""Which plugins are installed: entry points, their distributions, and what is disabled.

Nothing is imported here, so the list can be shown before a plugin runs any code.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import metadata
from typing import TYPE_CHECKING

from attrs import evolve, field, frozen

from meshregistry.loader._report import PluginReport, PluginStatus
from meshregistry.spi import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DISABLE = "MESHREGISTRY_DISABLE_PLUGINS"
"""Environment variable: comma-separated names of plugins, or distributions, to leave out."""

_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9._-]+)\s*(?:\[[^]]*\])?\s*\(?([^;)]*)")


@frozen(kw_only=True)
class Candidate:
    """A plugin that could be loaded.

    Attributes:
        report: all that is known without importing it.
        load: imports it; may raise anything.
    """

    report: PluginReport
    load: Callable[[], object] = field(repr=False)


def running_version() -> str:
    """The version of meshregistry that is installed; ``unknown`` for a bare source tree."""
    try:
        return metadata.version(PROJECT)
    except metadata.PackageNotFoundError:
        return "unknown"


def find_plugins(environ: Mapping[str, str]) -> tuple[PluginReport, ...]:
    """Every installed plugin, by name, with required and present versions; imports none."""
    return tuple(candidate.report for candidate in find_candidates(environ))


def find_candidates(environ: Mapping[str, str]) -> tuple[Candidate, ...]:
    """The entry points of the group ``meshregistry``, sorted by name and distribution."""
    disabled = disabled_names(environ)
    present = running_version()
    found = [_candidate(point, present) for point in metadata.entry_points(group=PROJECT)]
    found.sort(key=lambda one: (one.report.name, one.report.distribution))
    return tuple(
        evolve(one, report=evolve(one.report, status=PluginStatus.DISABLED))
        if {one.report.name, one.report.distribution} & disabled
        else one
        for one in found
    )


def disabled_names(environ: Mapping[str, str]) -> frozenset[str]:
    """What the environment blocks."""
    names = (name.strip() for name in environ.get(DISABLE, "").split(","))
    return frozenset(name for name in names if name)


def _candidate(point: metadata.EntryPoint, present: str) -> Candidate:
    # A damaged installation may lack its metadata; it is asked in the way that allows for that.
    facts = point.dist.metadata if point.dist else None
    return Candidate(
        report=PluginReport(
            name=point.name,
            status=PluginStatus.FOUND,
            distribution=facts.get_all("Name", [""])[0] if facts else "",
            version=facts.get_all("Version", [""])[0] if facts else "",
            value=point.value,
            requires=requirement(facts.get_all("Requires-Dist", []) if facts else []),
            present=present,
        ),
        load=point.load,
    )


def requirement(requires: Iterable[str]) -> str:
    """The versions of meshregistry in a list of requirements (PEP 508); extras do not count."""
    asked = []
    for text in requires:
        match = _REQUIREMENT.match(text)
        is_ours = match is not None and match[1].lower() == PROJECT
        if match is not None and is_ours and "extra ==" not in text.partition(";")[2]:
            asked.append(match[2].strip())
    return ",".join(part for part in asked if part)
