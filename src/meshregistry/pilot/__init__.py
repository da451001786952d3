"""The composition root: everything together, to embed or to run."""

from meshregistry.pilot._changes import CatalogChanges
from meshregistry.pilot._checks import check_documents, check_together, check_warnings
from meshregistry.pilot._documents import (
    catalog_document,
    endpoints_document,
    explain_document,
    plugins_document,
    sources_document,
)
from meshregistry.pilot._drained import Drained
from meshregistry.pilot._pilot import Pilot
from meshregistry.pilot._reload import ReloadReport
from meshregistry.pilot._rule_book import RuleStatus
from meshregistry.pilot._self_registration import registered
from meshregistry.pilot._threaded import ThreadedPilot
from meshregistry.pilot._wiring import check_settings
from meshregistry.pilot._writing import check_decision, decision_writer

__all__ = [
    "CatalogChanges",
    "Drained",
    "Pilot",
    "ReloadReport",
    "RuleStatus",
    "ThreadedPilot",
    "catalog_document",
    "check_decision",
    "check_documents",
    "check_settings",
    "check_together",
    "check_warnings",
    "decision_writer",
    "endpoints_document",
    "explain_document",
    "plugins_document",
    "registered",
    "sources_document",
]
