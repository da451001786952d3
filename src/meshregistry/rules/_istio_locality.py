"""LocalityLoadBalancerSetting of DestinationRule documents: what Istio accepts of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field, frozen
from attrs.validators import min_len

from meshregistry.rules._destinations import Distribution, LocalityBalancing
from meshregistry.rules._forms import works

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshregistry.documents import AnyNode
    from meshregistry.rules._forms import Reader

_ALL, _PARTS = 100, 3
_TOPOLOGY = (
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.istio.io/subzone",
)


@frozen(kw_only=True)
class DistributeForm:
    """LocalityLoadBalancerSetting.Distribute."""

    origin: str = field(alias="from_", validator=min_len(1))
    to: dict[str, int] = field(validator=min_len(1))


@frozen(kw_only=True)
class FailoverForm:
    """LocalityLoadBalancerSetting.Failover."""

    origin: str = field(alias="from_", validator=min_len(1))
    to: str = field(validator=min_len(1))


@frozen(kw_only=True)
class LocalityForm:
    """LocalityLoadBalancerSetting."""

    enabled: bool = works("true", default=True)
    distribute: tuple[Any, ...] = works(
        "the first that the caller is in; other localities get nothing",
        form=DistributeForm,
        default=(),
    )
    failover: tuple[Any, ...] = works(
        "regions; needs outlierDetection", form=FailoverForm, default=()
    )
    priority: tuple[str, ...] = works(
        "label keys, or key=value; needs outlierDetection", default=(), alias="failoverPriority"
    )


def locality_balancing(
    reader: Reader, node: AnyNode | None, *, has_outlier_detection: bool
) -> LocalityBalancing | None:
    """Read the settings, with the limits of Istio's validation."""
    form = None if node is None else reader.form(node, LocalityForm)
    if form is None or node is None:
        return None
    is_failover = bool(form.failover or form.priority)
    if form.distribute and is_failover:
        reader.fail(node, "distribute and failover exclude each other", "keep one")
    elif form.failover and set(form.priority) & set(_TOPOLOGY):
        reader.fail(node, "failover and failoverPriority both rank places", "keep one")
    elif form.failover and form.priority:
        reader.fail(node, "failover and failoverPriority cannot be combined", "keep one")
    if is_failover and form.enabled and not has_outlier_detection:
        reader.warn(
            node,
            "failover has no effect without outlierDetection: no endpoint ever counts as failed",
            "add outlierDetection",
        )
    return LocalityBalancing(
        is_enabled=form.enabled,
        distribute=_distributions(reader, form.distribute),
        failover=_failovers(reader, form.failover),
        failover_priority=form.priority,
    )


def _distributions(reader: Reader, nodes: Iterable[AnyNode]) -> tuple[Distribution, ...]:
    found: list[Distribution] = []
    places: list[tuple[AnyNode, str]] = []
    for place, one in reader.forms(nodes, DistributeForm):
        places.append((place, one.origin))
        _check_localities(reader, [(place, pattern) for pattern in one.to])
        if any(not 1 <= share <= _ALL for share in one.to.values()):
            reader.fail(place, "a share is not from 1 to 100", "leave places without a share out")
        elif sum(one.to.values()) != _ALL:
            total = sum(one.to.values())
            reader.fail(place, f"the shares add up to {total}", "make them add up to 100")
        found.append(Distribution(origin=one.origin, shares=tuple(one.to.items())))
    _check_localities(reader, places)
    return tuple(found)


def _check_localities(reader: Reader, patterns: Iterable[tuple[AnyNode, str]]) -> None:
    """Each is well-formed, and no place is in two of them."""
    seen: list[list[str]] = []
    for place, pattern in patterns:
        parts = pattern.split("/")
        if len(parts) > _PARTS or not all(parts) or any("*" in part for part in parts[:-1]):
            reader.fail(
                place,
                f"{pattern!r} is not a locality",
                "write region/zone/subzone, the start of it, or * as its last part",
            )
            continue
        if "*" in parts[-1] and parts[-1] != "*":
            reader.fail(place, f"the * in {pattern!r} is not a whole part", "write region/*")
            continue
        start = parts[:-1] if parts[-1] == "*" else parts
        for other in seen:
            shared = min(len(other), len(start))
            if other[:shared] == start[:shared]:
                reader.fail(place, f"{pattern!r} overlaps with another locality", "keep one")
                break
        seen.append(start)


def _failovers(reader: Reader, nodes: Iterable[AnyNode]) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for place, one in reader.forms(nodes, FailoverForm):
        if one.origin == one.to:
            reader.fail(place, "a region cannot fail over to itself", "name another region")
        if any(sign in one.origin + one.to for sign in "*/"):
            reader.fail(place, "failover goes from region to region", "write regions only")
        if one.origin in found:
            reader.fail(place, f"the region {one.origin} fails over twice", "keep one")
        found[one.origin] = one.to
    return tuple(found.items())
