"""The standard configuration: Istio's metrics, an access log, and dashboards for the metrics."""

from meshregistry.mixer.standard._contents import (
    dashboard,
    dashboards,
    standard_text,
    standard_units,
)

__all__ = ["dashboard", "dashboards", "standard_text", "standard_units"]
