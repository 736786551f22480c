"""The images of a containers stack: which plays which role, and how each is had, with or without a registry."""

from harness.stack.backends.images.building import Made, made
from harness.stack.backends.images.of_compose import had
from harness.stack.backends.images.resolving import missing, resolve
from harness.stack.backends.images.table import OFFICIAL, ROLES, roles_of

__all__ = ["OFFICIAL", "ROLES", "Made", "had", "made", "missing", "resolve", "roles_of"]
