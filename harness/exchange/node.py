"""One place in a foreign document: what stands there, as what it must be, and everything about it that is refused.

A reader that stops at the first mistake takes one start of the program for each of them. So a refusal is noted, the
reading goes on with nothing in that place, and whoever began it raises all of them together.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from string import Template
from typing import TYPE_CHECKING, Any

from harness.errors import SpecError, nearest
from harness.evidence.redaction import line
from harness.spec.document import MAX_BYTES, Document, read_yaml
from harness.spec.fragments import MAX_DEPTH
from harness.spec.parser import text_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from harness.spec.document import KeyPath

NO_LITERAL = "write the value itself; what depends on where it is run is not known here"


def read_document(path: Path) -> Document:
    """Read a file of JSON or YAML, with the limits that our own files have.

    Raises:
        SpecError: If it is neither, or is larger, deeper or more ambiguous than is allowed.
    """
    text = text_of(path)
    return _read_json(text, str(path)) if text.lstrip()[:1] == "{" else read_yaml(text, name=str(path))


def _read_json(text: str, name: str) -> Document:
    """Read JSON by itself: indented by tabs it is no YAML. Depth is counted first, since a parser recurses."""
    if len(text.encode()) > MAX_BYTES:
        raise SpecError("file is larger than 1 MiB", where=name, fix="split it; a page is enough")
    if _depth(text) > MAX_DEPTH:
        raise SpecError(f"nested deeper than {MAX_DEPTH}", where=name, fix="five levels are enough")
    try:
        data = json.loads(text, object_pairs_hook=lambda pairs: _once(pairs, name), parse_constant=_no_number)
    except ValueError as error:
        raise SpecError(f"not JSON: {error}", where=name, fix="write it as RFC 8259 has it, or as YAML") from error
    return Document(name, data, {})


def _depth(text: str) -> int:
    """Return how deep brackets stand in each other, those in strings aside."""
    depth = deepest = 0
    is_string = is_escaped = False
    for letter in text:
        if is_string:
            is_string, is_escaped = is_escaped or letter != '"', not is_escaped and letter == "\\"
        elif letter == '"':
            is_string = True
        else:
            depth += (letter in "[{") - (letter in "]}")
            deepest = max(deepest, depth)
    return deepest


def _once(pairs: list[tuple[str, Any]], name: str) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise SpecError(f"key {twice!r} is there twice", where=name, fix="keep one of the two")
    return data


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number of JSON")


@dataclass(frozen=True, slots=True)
class Node:
    """What stands at one place of a document.

    Attributes:
        value: Plain data; never None, which is the same as nothing.
        path: Where, of keys that this harness knows and of numbers.
        document: The file.
        literals: What `${name}` means in it.
        refusals: Noted here, by all nodes of one reading.
    """

    value: Any
    path: KeyPath
    document: Document
    literals: Mapping[str, Any] = field(default_factory=dict)
    refusals: list[SpecError] = field(default_factory=list)

    @property
    def place(self) -> str:
        """Return `file:line: key.path`, without what could command a terminal; a file of JSON has no lines."""
        return line(self.document.place(self.path))

    def refuse(self, what: str, fix: str) -> None:
        """Note that what stands here cannot be honoured, and what to do instead."""
        self.refusals.append(SpecError(what, where=self.place, fix=fix))

    def knowing(self, literals: Mapping[str, Any]) -> Node:
        """Return it with what `${name}` means."""
        return replace(self, literals=literals)

    def child(self, key: str | int) -> Node | None:
        """Return what stands at `key`; None if nothing does, or this is no mapping."""
        found = self.value.get(key) if isinstance(self.value, dict) else None
        return None if found is None else replace(self, value=found, path=(*self.path, key))

    def needed(self, key: str) -> Node | None:
        """Return what stands at `key`, and note that it is missing if nothing does."""
        found = self.child(key)
        if found is None and isinstance(self.value, dict):
            self.refuse(f"missing key {key!r}", "add it")
        return found

    def items(self) -> Iterator[Node]:
        """Yield the items of a list; if it is none, that is noted."""
        if not isinstance(self.value, list):
            self.refuse(f"{_kind(self.value)} where a list is expected", "write a list")
            return
        for index, value in enumerate(self.value):
            yield replace(self, value=value, path=(*self.path, index))

    def is_mapping(self) -> bool:
        """Tell whether it is a mapping; if not, that is noted."""
        if not isinstance(self.value, dict):
            self.refuse(f"{_kind(self.value)} where keys with values are expected", "write keys with their values")
        return isinstance(self.value, dict)

    def only(self, known: Collection[str], refused: Mapping[str, str] | None = None) -> None:
        """Note every key that is not `known`; of one that is `refused`, unless it is empty, with what to do instead."""
        refused = refused or {}
        for key, value in self.value.items():
            if key in refused and value not in (None, False, [], {}, ""):
                replace(self, path=(*self.path, key)).refuse(f"`{key}` cannot be honoured", refused[key])
            elif key not in known and key not in refused:
                self.refuse(f"unknown key {key!r}", nearest(str(key), [*known, *refused]))

    def filled(self) -> Any:
        """Return the value with `${name}` replaced, or None if that is not known, which is noted.

        A value that is nothing but one name is that literal, of whatever type; within a text it is its text.
        """
        if not isinstance(self.value, str) or "$" not in self.value:
            return self.value
        template = Template(self.value)
        names = template.get_identifiers() if template.is_valid() else []
        unknown = sorted({name for name in names if not _is_plain(self.literals.get(name))})
        if unknown or not names:
            self.refuse(f"`{', '.join(unknown) or self.value}` is no literal of `configuration`", NO_LITERAL)
            return None
        if self.value in {f"${{{names[0]}}}", f"${names[0]}"}:
            return self.literals[names[0]]
        return template.substitute(self.literals)

    def text(self) -> str | None:
        """Return a text that has at least one letter, or None, which is noted."""
        found = self.filled()
        if isinstance(found, str) and found:
            return found
        if found is not None:
            self.refuse(f"{_kind(found)} where a text is expected", "write a text")
        return None

    def number(self, *, least: float = 0.0, most: float = math.inf) -> float | None:
        """Return a number within bounds, or None, which is noted. A text that `${name}` put there may spell it."""
        found = self.filled()
        if isinstance(found, str) and found != self.value and found.replace(".", "", 1).isdecimal():
            found = float(found)
        if isinstance(found, int | float) and not isinstance(found, bool) and least <= found <= most:
            return found
        if found is not None:
            self.refuse(f"{found!r} is no number from {least:g} to {most:g}", "write a number in those bounds")
        return None

    def one_of(self, known: Sequence[str]) -> str | None:
        """Return one of these words, or None, which is noted."""
        found = self.text()
        if found is not None and found not in known:
            self.refuse(f"unknown {self.path[-1]} {found!r}", nearest(found, known))
            return None
        return found


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float) and "$" not in str(value)


def _kind(value: Any) -> str:
    return {dict: "a mapping", list: "a list", str: "a text", bool: "a boolean"}.get(type(value), "a number")
