"""Variables in the values of a compose file, as Compose fills them in: `$NAME`, `${NAME}`, `${NAME:-word}` and its kin.

Source: Compose Specification, "Interpolation".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.spec.document import Document, KeyPath

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR = re.compile(r":?[-?+]")
_MAX_NESTED = 8


@dataclass(slots=True)
class Filling:
    """Fills in variables, and remembers those that nothing sets.

    Attributes:
        variables: By name.
        unset: Where each is asked for that nothing sets, and that says no word for that case.
    """

    variables: Mapping[str, str]
    unset: dict[str, str] = field(default_factory=dict)

    def filled(self, document: Document) -> Any:
        """Return the data of a document with every variable filled in; keys stay as they are.

        Raises:
            SpecError: If one must be set and is not, or what stands there is no variable; it names the line.
        """
        return self._value(document.data, (), document)

    def _value(self, value: Any, path: KeyPath, document: Document) -> Any:
        if isinstance(value, dict):
            return {key: self._value(each, (*path, key), document) for key, each in value.items()}
        if isinstance(value, list):
            return [self._value(each, (*path, index), document) for index, each in enumerate(value)]
        return self.text(value, where=document.place(path)) if isinstance(value, str) else value

    def text(self, text: str, *, where: str, nested: int = 0) -> str:
        """Return a text with every variable filled in; `$$` is a dollar.

        Args:
            text: As it is written.
            where: Its file, line and key.
            nested: How deep it stands in the words of others.

        Raises:
            SpecError: As above.
        """
        parts, at = list[str](), 0
        while (dollar := text.find("$", at)) >= 0:
            parts.append(text[at:dollar])
            said, at = self._variable(text, dollar, where, nested)
            parts.append(said)
        return "".join([*parts, text[at:]])

    def _variable(self, text: str, dollar: int, where: str, nested: int) -> tuple[str, int]:
        """Return what a dollar and what follows it stand for, and where the text goes on."""
        after = dollar + 1
        if text.startswith("$", after):
            return "$", after + 1
        if text.startswith("{", after):
            end = _closing(text, after)
            if end < 0 or nested == _MAX_NESTED:
                raise _no_variable(text[dollar:], where)
            return self._braced(text[after + 1 : end], where, nested), end + 1
        name = _NAME.match(text, after)
        if name is None:
            raise _no_variable(text[dollar:], where)
        return self._plain(name[0], where), name.end()

    def _braced(self, inside: str, where: str, nested: int) -> str:
        name = _NAME.match(inside)
        operator = _OPERATOR.match(inside, name.end()) if name else None
        if name is None or (operator is None and name.end() != len(inside)):
            raise _no_variable(f"${{{inside}}}", where)
        if operator is None:
            return self._plain(name[0], where)
        value, word = self.variables.get(name[0]), inside[operator.end() :]
        is_there = value is not None and (value != "" or not operator[0].startswith(":"))
        match operator[0][-1]:
            case "+":
                return self.text(word, where=where, nested=nested + 1) if is_there else ""
            case "?" if not is_there:
                said = f": {word}" if word else ""
                fix = f"set it where the run is started, or in .env beside the compose file: {name[0]}=…"
                raise SpecError(f"the variable {name[0]} must be set{said}", where=where, fix=fix)
            case "-" if not is_there:
                return self.text(word, where=where, nested=nested + 1)
        return str(value)

    def _plain(self, name: str, where: str) -> str:
        if name not in self.variables:
            self.unset.setdefault(name, where)
        return self.variables.get(name, "")


def _closing(text: str, opening: int) -> int:
    """Return where the brace ends that opens there; below zero if it does not."""
    depth = 0
    for at in range(opening, len(text)):
        depth += (text[at] == "{" and (at == opening or text[at - 1] == "$")) - (text[at] == "}")
        if not depth:
            return at
    return -1


def _no_variable(text: str, where: str) -> SpecError:
    fix = "write $$ for a dollar, or ${NAME}, ${NAME:-word}, ${NAME:?why} or ${NAME:+word}"
    return SpecError(f"this is no variable: {text[:40]}", where=where, fix=fix)
