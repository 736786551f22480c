"""A Dockerfile: the program that its image starts, which may be there without the image as well."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from harness.onboarding.argv import argv_from, argv_of, environment_for
from harness.onboarding.clue import Start

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.onboarding.folder import Folder

_INSTRUCTION = re.compile(r"^\s*(?P<word>CMD|ENTRYPOINT)\s+(?P<rest>.+?)\s*$", re.IGNORECASE | re.MULTILINE)
_NAME = "Dockerfile"


def starts(folder: Folder) -> Iterator[Start]:
    """Return the last entry point with the last command behind it; nothing where only a shell could read one."""
    text = re.sub(r"\\\n", " ", folder.text(_NAME))
    last = {found["word"].upper(): _argv(found["rest"]) for found in _INSTRUCTION.finditer(text)}
    if not last or None in last.values():
        return
    argv = tuple(word for key in ("ENTRYPOINT", "CMD") for word in last.get(key) or ())
    yield Start(
        kind="command",
        runs=argv,
        seen_in=_NAME,
        environment=environment_for(argv),
        dockerfile=_NAME,
    )


def _argv(rest: str) -> tuple[str, ...] | None:
    if not rest.startswith("["):
        return argv_of(rest)
    try:
        words = json.loads(rest)
    except ValueError:
        return None
    return argv_from(words) if isinstance(words, list) else None
