"""What a Kubernetes API server asks before it takes a routing document (admission.k8s.io/v1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshregistry.documents import RuleUnit
from meshregistry.rules import RULE_KINDS, read_rules

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshregistry.errors import ConfigError

_INVALID = 422


def review(asked: Mapping[str, Any], domain: str) -> dict[str, Any]:
    """The answer to an AdmissionReview: whether a document may come in, and why not.

    What is deleted, and kinds that are not read here, may. Warnings are shown to whoever
    applies the document.

    Args:
        asked: the review, as JSON values.
        domain: of the mesh, with which short host names are completed.

    Raises:
        ValueError: if it is no review.
    """
    request = asked.get("request")
    if asked.get("kind") != "AdmissionReview" or not isinstance(request, dict):
        raise ValueError("this is no AdmissionReview: register /validate as a validating webhook")
    answer: dict[str, Any] = {"uid": request.get("uid", ""), "allowed": True}
    value = request.get("object")
    if isinstance(value, dict) and request.get("operation") != "DELETE":
        answer |= _judged(value, domain)
    return {
        "apiVersion": asked.get("apiVersion", "admission.k8s.io/v1"),
        "kind": "AdmissionReview",
        "response": answer,
    }


def _judged(value: Mapping[str, Any], domain: str) -> dict[str, Any]:
    metadata = value.get("metadata")
    named = metadata if isinstance(metadata, dict) else {}
    name = "/".join(filter(None, (named.get("namespace"), named.get("name") or "new")))
    known = {(one.group, one.kind) for one in RULE_KINDS}
    group = str(value.get("apiVersion", "")).rpartition("/")[0]
    if (group, value.get("kind")) not in known:
        return {}
    # A document whose name the server is yet to make up has none.
    whole = {**value, "metadata": {**named, "name": named.get("name") or "new"}}
    kept = {key: one for key, one in whole.items() if key != "status"}
    unit = RuleUnit.of_object(name, kept)
    errors = list(unit.faults)
    warnings: list[ConfigError] = []
    for document in unit.documents:
        reading = read_rules(document, domain)
        errors += reading.errors
        warnings += reading.warnings
    answer: dict[str, Any] = {}
    if warnings:
        answer["warnings"] = [_text(one) for one in warnings]
    if errors:
        message = "; ".join(_text(one) for one in errors)
        answer["allowed"] = False
        answer["status"] = {"code": _INVALID, "reason": "Invalid", "message": message}
    return answer


def _text(finding: ConfigError) -> str:
    where = f"{finding.field}: " if finding.field else ""
    return f"{where}{finding.reason}; {finding.remedy}"
