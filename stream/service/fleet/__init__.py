"""The cameras of a configuration on the nodes of a Ray cluster."""

from merau.stream.service.fleet.fleet import Fleet

__all__ = ["Fleet"]
