"""What documents say of the services that requests are for: their APIs, and charges of quotas.

The proxy asks for what is said here, so clients have it as well as a server with Envoys before
it; nothing of it needs an extra.
"""

from meshregistry.mixer.services._api import Api, ApiKey, ApiPattern
from meshregistry.mixer.services._files import read_services
from meshregistry.mixer.services._quota_rules import Clause, QuotaRule, QuotaRules
from meshregistry.mixer.services._reading import KINDS, ServicePiece, read_piece
from meshregistry.mixer.services._resolving import resolve
from meshregistry.mixer.services._selecting import Binding, ServiceSelector
from meshregistry.mixer.services._specs import ServiceSpecs

__all__ = [
    "KINDS",
    "Api",
    "ApiKey",
    "ApiPattern",
    "Binding",
    "Clause",
    "QuotaRule",
    "QuotaRules",
    "ServicePiece",
    "ServiceSelector",
    "ServiceSpecs",
    "read_piece",
    "read_services",
    "resolve",
]
