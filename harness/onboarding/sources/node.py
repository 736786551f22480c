"""Node: what package.json starts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from harness.onboarding.argv import argv_of, environment_for
from harness.onboarding.clue import Needed, Start
from harness.onboarding.traces import KNOWN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.onboarding.folder import Folder

_MIGRATIONS = ("migrate", "db:migrate", "migrate:deploy", "migration:run")


def starts(folder: Folder) -> Iterator[Start]:
    """Return what `npm start` runs, without npm where that is plain: npm hands signals on late."""
    package = _package(folder)
    scripts = package.get("scripts")
    said = scripts.get("start") if isinstance(scripts, dict) else None
    if isinstance(said, str):
        plain = argv_of(said) if said.startswith("node ") else None
        argv = plain or ("npm", "run", "--silent", "start")
    elif isinstance(package.get("main"), str) and folder.has(package["main"]):
        argv = ("node", package["main"])
    else:
        return
    jobs = [("npm", "run", "--silent", each) for each in _MIGRATIONS if isinstance(scripts, dict) and each in scripts]
    yield Start(
        kind="command", runs=argv, seen_in="package.json", environment=environment_for(argv), init=tuple(jobs[:1])
    )


def needs(folder: Folder) -> Iterator[Needed]:
    """Return what the packages that it depends on are for."""
    declared = _package(folder).get("dependencies")
    for kind, traces in KNOWN.items():
        found = next((each for each in traces.packages if isinstance(declared, dict) and each in declared), None)
        if found:
            yield Needed(kind, f"{found} in package.json")


def _package(folder: Folder) -> dict[str, Any]:
    try:
        package = json.loads(folder.text("package.json") or "{}")
    except (ValueError, RecursionError):
        return {}
    return package if isinstance(package, dict) else {}
