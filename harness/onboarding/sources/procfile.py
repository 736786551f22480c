"""A Procfile: a line for each kind of process, as Heroku and its like read it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from harness.onboarding.argv import argv_of, environment_for
from harness.onboarding.clue import Start

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.onboarding.folder import Folder

_LINE = re.compile(r"^(?P<name>[A-Za-z0-9_-]+):\s*(?P<command>.+?)\s*$", re.MULTILINE)


def starts(folder: Folder) -> Iterator[Start]:
    """Return the process `web`, with what is run before it and beside it; nothing where only a shell could read it."""
    lines = {found["name"]: argv_of(found["command"]) for found in _LINE.finditer(folder.text("Procfile"))}
    web = lines.pop("web", None)
    if web is None:
        return
    released = lines.pop("release", None)
    yield Start(
        kind="command",
        runs=web,
        seen_in="Procfile",
        environment=environment_for(web),
        init=(released,) if released else (),
        workers={_slug(name): command for name, command in lines.items() if command},
    )


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9-]", "-", name.lower()).strip("-") or "worker"
