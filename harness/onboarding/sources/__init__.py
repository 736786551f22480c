"""What says how a service is started, one file per source; those that say it most exactly come first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.onboarding.sources import compose, dockerfile, go, node, procfile, python

if TYPE_CHECKING:
    from harness.onboarding.clue import Needed, Start, Variable
    from harness.onboarding.folder import Folder

STARTING = (python, procfile, node, go, dockerfile, compose)
NEEDING = (python, node, go, compose)
"""A Procfile and a Dockerfile name no dependency."""


def starts(folder: Folder) -> tuple[Start, ...]:
    """Return every way to start the service that the folder tells."""
    return tuple(start for source in STARTING for start in source.starts(folder))


def composed(folder: Folder) -> tuple[Start, ...]:
    """Return the services that a compose file can run to be judged, the likeliest first."""
    return tuple(compose.composed(folder))


def variables(folder: Folder) -> tuple[Variable, ...]:
    """Return the variables that the folder says the service is started with."""
    return tuple(compose.variables(folder))


def needs(folder: Folder) -> tuple[Needed, ...]:
    """Return what the folder's packages and services say that it depends on."""
    return tuple(needed for source in NEEDING for needed in source.needs(folder))
