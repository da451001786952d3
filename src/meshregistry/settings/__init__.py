"""Settings of a pilot: read strictly, with every fault at its place."""

from meshregistry.settings._addresses import Address
from meshregistry.settings._identity import IdentitySettings
from meshregistry.settings._merge import Mention, MergeSettings
from meshregistry.settings._registration import (
    RegistrationClient,
    RegistrationGrant,
    RegistrationSettings,
    RegistrationToken,
)
from meshregistry.settings._resilience import GuardSettings, SnapshotSettings
from meshregistry.settings._server import ServerSettings, TlsSettings, WebhookSettings
from meshregistry.settings._settings import Settings
from meshregistry.settings._sources import RuleSettings, SourceSettings

__all__ = [
    "Address",
    "GuardSettings",
    "IdentitySettings",
    "Mention",
    "MergeSettings",
    "RegistrationClient",
    "RegistrationGrant",
    "RegistrationSettings",
    "RegistrationToken",
    "RuleSettings",
    "ServerSettings",
    "Settings",
    "SnapshotSettings",
    "SourceSettings",
    "TlsSettings",
    "WebhookSettings",
]
