"""Derive: a world and a proxy key in, a consistent resource set out. Pure."""

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
    "Derived",
    "Generated",
    "OwnPort",
    "Pipeline",
    "Place",
    "Scope",
    "ScopeGenerator",
    "View",
    "World",
    "dangling_references",
]
