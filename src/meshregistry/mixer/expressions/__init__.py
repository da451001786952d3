"""Mixer's expressions: read, checked against the declared attributes, compiled to closures."""

from meshregistry.mixer.expressions._attributes import (
    ABSENT,
    Absent,
    Attributes,
    MapView,
    PlainAttributes,
    PlainMap,
    Reference,
    TrackedAttributes,
    noted,
)
from meshregistry.mixer.expressions._compiling import Compiled, compile_expression
from meshregistry.mixer.expressions._doubts import doubts
from meshregistry.mixer.expressions._errors import EvaluationError, ExpressionError
from meshregistry.mixer.expressions._functions import FUNCTIONS, Function
from meshregistry.mixer.expressions._syntax import nanoseconds

__all__ = [
    "ABSENT",
    "FUNCTIONS",
    "Absent",
    "Attributes",
    "Compiled",
    "EvaluationError",
    "ExpressionError",
    "Function",
    "MapView",
    "PlainAttributes",
    "PlainMap",
    "Reference",
    "TrackedAttributes",
    "compile_expression",
    "doubts",
    "nanoseconds",
    "noted",
]
