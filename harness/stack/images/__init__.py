"""The images of a containers stack: which plays which role, and how each is had, with or without a registry."""

from harness.stack.images.building import Made, made
from harness.stack.images.resolving import missing, resolve
from harness.stack.images.table import OFFICIAL, ROLES, Images

__all__ = ["OFFICIAL", "ROLES", "Images", "Made", "made", "missing", "resolve"]
