"""meshregistry: a service-mesh control plane that can be imported."""
