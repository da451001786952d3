"""What made a pod, as far as the pod tells. Pure.

What made the owner is known from the owner alone, and owners are not watched. But controllers
give names: a deployment names its replica sets by its own name and a hash, which their pods have
as a label, and a cron job its jobs by its own name and the time.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_TEMPLATE_HASH = "pod-template-hash"
# Minutes since 1970, before Kubernetes 1.21 seconds. A date such as 20260131 is neither.
_SCHEDULED_JOB = re.compile(r"(.+)-(?:(?:2[5-9]|[34][0-9])[0-9]{6}|1[0-9]{9})")


def workload_of(
    pod: str, labels: Mapping[str, str], owners: Iterable[Mapping[str, Any]]
) -> tuple[str, str]:
    """Kind in the plural and name of what made a pod; itself, if nothing did.

    Args:
        pod: its name.
        labels: of it.
        owners: its ``metadata.ownerReferences``.

    Raises:
        KeyError: if an owner has no kind or name.
    """
    owner = next((one for one in owners if one.get("controller")), None)
    # A node is the owner of the pods that a file on it describes.
    if owner is None or owner["kind"] == "Node":
        return "pods", pod
    kind, name = str(owner["kind"]), str(owner["name"])
    template = labels.get(_TEMPLATE_HASH)
    if kind == "ReplicaSet" and template and name.endswith(f"-{template}"):
        return "deployments", name.removesuffix(f"-{template}")
    if kind == "Job" and (scheduled := _SCHEDULED_JOB.fullmatch(name)):
        return "cronjobs", scheduled[1]
    return f"{kind.lower()}s", name
