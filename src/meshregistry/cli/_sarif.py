"""Findings for code scanners: SARIF 2.1.0 (Static Analysis Results Interchange Format)."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshregistry.errors import ConfigError

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif(errors: Iterable[ConfigError], warnings: Iterable[ConfigError]) -> dict[str, Any]:
    """A log of one run: each finding with its level, place and text (sections 3.13 and 3.27)."""
    results = [_result(one, "error") for one in errors]
    results += [_result(one, "warning") for one in warnings]
    driver = {
        "name": "meshregistry",
        "version": version("meshregistry"),
        "rules": [{"id": "error"}, {"id": "warning"}],
    }
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }


def _result(finding: ConfigError, level: str) -> dict[str, Any]:
    where = f"{finding.field}: " if finding.field else ""
    then = f"; {finding.remedy}" if finding.remedy else ""
    result: dict[str, Any] = {
        "ruleId": level,
        "level": level,
        "message": {"text": f"{where}{finding.reason}{then}"},
    }
    if finding.file:
        location: dict[str, Any] = {"artifactLocation": {"uri": finding.file}}
        if finding.line is not None:
            region = {"startLine": finding.line, "startColumn": finding.column}
            location["region"] = {key: value for key, value in region.items() if value}
        result["locations"] = [{"physicalLocation": location}]
    return result
