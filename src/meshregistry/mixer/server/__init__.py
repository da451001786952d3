"""The server of Mixer: attributes in, handlers asked by rules, answers out.

Needs the extra ``mixer-server``.
"""

from meshregistry.mixer.server._dispatch import DispatchFailed
from meshregistry.mixer.server._mixer import Checked, Mixer, Overloaded, of_call
from meshregistry.mixer.server._outcome import CheckOutcome, Failure, QuotaOutcome, ReportOutcome
from meshregistry.mixer.server._server import MixerServer
from meshregistry.mixer.server._shedding import Mode, SheddingConfig
from meshregistry.mixer.server._standing import ConfigStatus
from meshregistry.mixer.server._tls import MixerServerTls

__all__ = [
    "CheckOutcome",
    "Checked",
    "ConfigStatus",
    "DispatchFailed",
    "Failure",
    "Mixer",
    "MixerServer",
    "MixerServerTls",
    "Mode",
    "Overloaded",
    "QuotaOutcome",
    "ReportOutcome",
    "SheddingConfig",
    "of_call",
]
