"""Mixer for unchanged Envoys: their authorization, access-log and rate-limit services.

Needs the extra ``mixer-server``.
"""

from meshregistry.mixer.fronts._fronts import EnvoyFronts
from meshregistry.mixer.fronts._options import FrontOptions
from meshregistry.mixer.fronts._trust import Trust

__all__ = ["EnvoyFronts", "FrontOptions", "Trust"]
