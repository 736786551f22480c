"""Go: a package `main` of a module."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from harness.onboarding.clue import Needed, Start
from harness.onboarding.traces import KNOWN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.onboarding.folder import Folder

_MAIN = re.compile(r"^package main\b.*^func main\(\)", re.MULTILINE | re.DOTALL)


def starts(folder: Folder) -> Iterator[Start]:
    """Return each package `main`, built and run by `go run`: it builds once, and a later replica takes that."""
    if not folder.has("go.mod"):
        return
    packages = {name.rpartition("/")[0] for name in folder.matching("*.go") if _MAIN.search(folder.text(name))}
    for package in sorted(packages, key=lambda each: (each.count("/"), each)):
        path = f"./{package}" if package else "."
        yield Start(
            kind="command",
            runs=("go", "run", path),
            seen_in=f"go.mod and {package or 'its folder'}",
            environment={"PORT": "{port}"},
            init=(("go", "build", "-o", "/dev/null", path),),
            ready_within="60s",
        )


def needs(folder: Folder) -> Iterator[Needed]:
    """Return what the modules that it requires are for."""
    required = folder.text("go.mod")
    for kind, traces in KNOWN.items():
        found = next((each for each in traces.packages if "/" in each and each in required), None)
        if found:
            yield Needed(kind, f"{found} in go.mod")
