"""Variables that a service reads, and what they stand for: by their names, as twelve-factor services call them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from harness.onboarding.clue import Needed, Variable
from harness.onboarding.routes import SOURCES
from harness.onboarding.traces import meaning_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.onboarding.folder import Folder

EXAMPLES = (".env.example", ".env.sample", ".env.template", "env.example")
"""What a project says of its variables; `.env` itself holds secrets, and is not read."""

_READ = (
    re.compile(r"""os\.environ(?:\.get\(|\[)\s*["'](?P<name>[A-Z][A-Z0-9_]*)["']"""),
    re.compile(r"""os\.getenv\(\s*["'](?P<name>[A-Z][A-Z0-9_]*)["']"""),
    re.compile(r"process\.env\.(?P<name>[A-Z][A-Z0-9_]*)"),
    re.compile(r"""process\.env\[\s*["'](?P<name>[A-Z][A-Z0-9_]*)["']"""),
    re.compile(r"""os\.(?:Getenv|LookupEnv)\(\s*"(?P<name>[A-Z][A-Z0-9_]*)\""""),
)
_EXAMPLE = re.compile(r"^[ \t]*(?:export[ \t]+)?(?P<name>[A-Z][A-Z0-9_]*)[ \t]*=(?P<value>.*)$", re.MULTILINE)

_OF_ITSELF = {
    r"(HTTP_|SERVER_|APP_|LISTEN_|WEB_)?PORT": "{port}",
    r"(HTTP_|SERVER_|APP_|LISTEN_|WEB_|BIND_)?ADDR(ESS)?|LISTEN|BIND": "{host}:{port}",
    r"(HTTP_|SERVER_|APP_|LISTEN_|WEB_)?HOST": "{host}",
}
"""Variables that say where the service itself listens."""


def variables_read(folder: Folder) -> tuple[Variable, ...]:
    """Return those that an example file or a source speaks of, each once; examples first, since they have values."""
    found = dict[str, Variable]()
    for name in EXAMPLES:
        for match in _EXAMPLE.finditer(folder.text(name)):
            found.setdefault(match["name"], Variable(match["name"], match["value"].strip().strip("\"'"), name))
    for name in folder.matching(*SOURCES):
        text = folder.text(name)
        for match in (match for pattern in _READ for match in pattern.finditer(text)):
            line = text.count("\n", 0, match.start()) + 1
            found.setdefault(match["name"], Variable(match["name"], "", f"{name}, line {line}"))
    return tuple(found.values())


def given_to(variable: Variable) -> tuple[str | None, str] | None:
    """Return what a variable gets, with the kind of component that it belongs to, if any; None if nothing is known."""
    component = meaning_of(variable.name, variable.value)
    own = next((given for pattern, given in _OF_ITSELF.items() if re.fullmatch(pattern, variable.name)), None)
    return component or (None if own is None else (None, own))


def needed_by(told: tuple[Variable, ...]) -> Iterator[Needed]:
    """Return what variables say that the service depends on."""
    for variable in told:
        meaning = meaning_of(variable.name, variable.value)
        if meaning:
            yield Needed(meaning[0], f"{variable.name} in {variable.seen_in}")
