"""Files of variables as Compose reads them: `.env` beside the compose file, and what `env_file` names.

`NAME=value`, a line each; `export` before it and blanks around the sign are allowed. In single quotes a value is what
it is; in double quotes, and without any, variables in it are filled in. Quoted ones may go on over lines; behind one
without quotes ` #` begins a remark.

Source: Compose Specification, "Env_file format"; compose-go, dotenv/parser.go.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from harness.deployment.interpolation import Filling
from harness.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMED = re.compile(r"[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)[ \t]*(?P<sign>[=:]?)[ \t]*")
_REST = re.compile(r"[^\n]*")
_REMARK = re.compile(r"(?:^|[ \t])#.*$")
_NOTHING = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|$)")
_QUOTED = {"'": re.compile(r"'(?P<inside>[^']*)'"), '"': re.compile(r'"(?P<inside>(?:[^"\\]|\\.)*)"', re.DOTALL)}
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_SPARED = re.compile(r"\0(\d+)\0")
_MEANT = {"n": "\n", "r": "\r", "t": "\t"}


def read_variables(text: str, *, name: str, known: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a file sets, in its order; a name alone takes the value that is known of it, if any.

    Args:
        text: What it says.
        name: The file, as messages name it.
        known: What may be filled in, beside what the file has set before.

    Raises:
        SpecError: If a line is none of the above; it names the line.
    """
    found = dict[str, str]()
    text, at = text.removeprefix("\ufeff").replace("\r\n", "\n"), 0
    while at < len(text):
        if nothing := _NOTHING.match(text, at):
            at = nothing.end()
            continue
        where = f"{name}:{text.count(chr(10), 0, at) + 1}"
        named = _NAMED.match(text, at)
        if named is None:
            raise SpecError("this is no variable", where=where, fix="write NAME=value, or # before a remark")
        if named["sign"]:
            found[named["name"]], at = _value(text, named.end(), {**known, **found}, where)
        else:
            at = _end_of_line(text, named.end(), where)
            if named["name"] in known:
                found[named["name"]] = known[named["name"]]
    return found


def _value(text: str, at: int, known: Mapping[str, str], where: str) -> tuple[str, int]:
    """Return a value, and where the next line begins."""
    quote = text[at : at + 1]
    if quote in _QUOTED:
        quoted = _QUOTED[quote].match(text, at)
        if quoted is None:
            raise SpecError(f"the quotation mark {quote} is not closed", where=where, fix="close it")
        end = _end_of_line(text, quoted.end(), where)
        return (quoted["inside"] if quote == "'" else _meant(quoted["inside"], known, where)), end
    rest = _REST.match(text, at)
    said = rest[0] if rest else ""
    value = _REMARK.sub("", said).strip()
    return Filling(known).text(value, where=where), at + len(said) + 1


def _meant(inside: str, known: Mapping[str, str], where: str) -> str:
    """Return what stands in double quotes: a backslash spares what follows from all else, a dollar among it."""
    spared = list[str]()

    def spare(found: re.Match[str]) -> str:
        spared.append(_MEANT.get(found[1], found[1]))
        return f"\0{len(spared) - 1}\0"  # no variable holds a NUL

    filled = Filling(known).text(_ESCAPED.sub(spare, inside), where=where)
    return _SPARED.sub(lambda found: spared[int(found[1])], filled)


def _end_of_line(text: str, at: int, where: str) -> int:
    """See that nothing but a remark follows; return where the next line begins."""
    nothing = _NOTHING.match(text, at)
    if nothing is None:
        rest = text[at:].partition("\n")[0].strip()
        raise SpecError(
            f"{rest!r} follows what is complete", where=where, fix="put # before a remark, or quote all of it"
        )
    return nothing.end()
