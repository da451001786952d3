"""Derive: a world and a proxy key in, a consistent resource set out. Pure."""

from meshregistry.generate import _extra as _extra
from meshregistry.generate._explain import Decision, HttpRequest, Step, decide, decision_document
from meshregistry.generate._extensions import Extensions
from meshregistry.generate._naming import ClusterName
from meshregistry.generate._output import Generated
from meshregistry.generate._pipeline import (
    SCOPE_GENERATORS,
    SERVICE_GENERATORS,
    Derived,
    Pipeline,
    ScopeGenerator,
)
from meshregistry.generate._references import dangling_references
from meshregistry.generate._world import OwnPort, Place, Scope, View, World

__all__ = [
    "SCOPE_GENERATORS",
    "SERVICE_GENERATORS",
    "ClusterName",
    "Decision",
    "Derived",
    "Extensions",
    "Generated",
    "HttpRequest",
    "OwnPort",
    "Pipeline",
    "Place",
    "Scope",
    "ScopeGenerator",
    "Step",
    "View",
    "World",
    "dangling_references",
    "decide",
    "decision_document",
]
