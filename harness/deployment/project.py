"""What runs is more than one file: what `docker compose up` takes along beside the compose file that one names.

Source: Docker Compose, "Merge Compose files" and "Pre-defined environment variables" (COMPOSE_FILE); compose-go,
cli/options.go, for the names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.deployment.compose import composed
from harness.deployment.outside import values_of
from harness.spec.parser import text_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from harness.deployment.compose import Compose

NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
"""Files that are taken where none is named."""

OVERRIDES = tuple(name.replace("compose.", "compose.override.") for name in NAMES)
VALUES = ".env"


def read_project(file: Path, *, alone: bool) -> Compose:
    """Read a compose file with what `docker compose up` in its folder takes along: an override, and `.env`.

    Args:
        file: One that has not one of the usual names is never taken without being named, and so without an override.
        alone: Leave every other compose file out, as `docker compose -f FILE` does.

    Raises:
        SpecError: If one of them cannot be read, or is no compose file; it names the line.
    """
    values = values_of(text_of(file.parent / VALUES)) if (file.parent / VALUES).is_file() else {}
    files = [file] if alone else taken_with(file, values)
    return composed([(str(each), text_of(each)) for each in files], values)


def taken_with(file: Path, values: Mapping[str, str]) -> list[Path]:
    """Return the files that are taken where none is named: those that COMPOSE_FILE lists, else this one, overridden.

    One that has not one of the usual names is never taken without being named, and so alone.
    """
    if file.name not in NAMES:
        return [file]
    separator = values.get("COMPOSE_PATH_SEPARATOR") or ":"
    listed = [name for name in values.get("COMPOSE_FILE", "").split(separator) if name]
    if listed:
        named = [file.parent / name for name in listed]
        return named if file in named else [file]
    override = next((file.parent / name for name in OVERRIDES if (file.parent / name).is_file()), None)
    return [file, override] if override else [file]


def has_values(file: Path) -> bool:
    """Tell whether values of variables stand beside a compose file."""
    return (file.parent / VALUES).is_file()
