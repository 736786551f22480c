"""Which files of a project are scenarios."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import SpecError
from harness.options import SETTINGS_FILE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SCENARIOS_FOLDER = "scenarios"
SCENARIO_SUFFIXES = (".yaml", ".yml")


def project_of(file: Path) -> Path | None:
    """Return the nearest folder above a file that holds a readiness.toml; None where there is none."""
    return next((folder for folder in file.absolute().parents if (folder / SETTINGS_FILE).is_file()), None)


def is_scenario_file(path: Path) -> bool:
    """Tell whether a file is a scenario by its name; hidden ones are an editor's, or somebody's draft."""
    return path.suffix in SCENARIO_SUFFIXES and not path.name.startswith(".")


def scenario_files(folder: Path) -> list[Path]:
    """Return all scenario files below a folder, in order."""
    return sorted(path for path in folder.rglob("*") if is_scenario_file(path) and path.is_file())


def files_of(paths: Sequence[Path], project: Path) -> list[Path]:
    """Return the scenario files that `paths` name, themselves or those below a folder; of the project for no paths.

    Raises:
        SpecError: If one is not there, or there is none at all.
    """
    chosen = paths or [project / SCENARIOS_FOLDER]
    for path in paths:
        if not path.exists():
            raise SpecError("there is no such file or folder", where=str(path), fix="check the path")
    found = [file for path in chosen for file in ([path] if path.is_file() else scenario_files(path))]
    if not found:
        fix = "write one (docs/scenarios.md says how), or run where readiness.toml lies"
        raise SpecError("there is no scenario", where=", ".join(map(str, chosen)), fix=fix)
    return list(dict.fromkeys(found))
