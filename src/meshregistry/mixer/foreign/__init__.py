"""Templates and adapters of other people, made from the descriptors in their documents."""

from meshregistry.mixer.foreign._descriptors import Descriptors
from meshregistry.mixer.foreign._params import encoded
from meshregistry.mixer.foreign._templates import (
    ForeignInstance,
    ForeignMessages,
    ForeignTemplate,
    template_of,
)

__all__ = [
    "Descriptors",
    "ForeignInstance",
    "ForeignMessages",
    "ForeignTemplate",
    "encoded",
    "template_of",
]
