"""Definitions of the custom resources of ``meshregistry.dev``, for ``kubectl apply -f -``.

The fields of the documents are checked by the pilot, or on the way in by its admission
webhook; the definitions only keep them.
"""

from __future__ import annotations

import json
import sys
from typing import Any

KINDS = {
    "Drain": "drains",
    "Environment": "environments",
    "LossAcceptance": "lossacceptances",
    "SourceShift": "sourceshifts",
}
"""Every kind of ours, with its plural."""

_GROUP = "meshregistry.dev"


def definitions() -> dict[str, Any]:
    """A list of definitions, as the API server takes them."""
    return {
        "apiVersion": "v1",
        "kind": "List",
        "items": [_definition(kind, plural) for kind, plural in KINDS.items()],
    }


def _definition(kind: str, plural: str) -> dict[str, Any]:
    spec = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "required": ["spec"], "properties": {"spec": spec}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{_GROUP}"},
        "spec": {
            "group": _GROUP,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


if __name__ == "__main__":
    json.dump(definitions(), sys.stdout, indent=2)
    sys.stdout.write("\n")
