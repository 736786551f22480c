"""YAML text to plain data, safely, remembering on which line every key stands.

Refused, each with its line: more than 1 MiB, nesting deeper than 32, anchors and aliases (a handful of them expands
to gigabytes), duplicate keys, tags, and YAML 1.1's `yes`, `no`, `on`, `off`, which read like words and mean booleans.
Files that are not ours to simplify may use some of these: see `fragments.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from harness.errors import SpecError
from harness.spec.fragments import MAX_DEPTH, written_out

MAX_BYTES = 1 << 20

KeyPath = tuple[str | int, ...]

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_OPENING = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
_CLOSING = (yaml.MappingEndEvent, yaml.SequenceEndEvent)
_COLLECTION_TAGS = (None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
_PLAIN_TAGS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "timestamp"))


@dataclass(frozen=True, slots=True)
class Document:
    """What a YAML file says.

    Attributes:
        name: The file, as messages name it.
        data: Dicts, lists, strings, numbers, booleans, None.
        lines: First line of the value at each key path, counted from 1.
    """

    name: str
    data: Any
    lines: dict[KeyPath, int]

    def place(self, path: KeyPath) -> str:
        """Return `file:line: key.path` for `path`, or for the nearest parent that has a line."""
        number = self.line(path)
        line = f":{number}" if number else ""
        return f"{self.name}{line}: {path_text(path)}" if path else f"{self.name}{line}"

    def line(self, path: KeyPath) -> int:
        """Return the line of `path`, or of the nearest parent that has one; 0 where lines are not known."""
        known = path
        while known and known not in self.lines:
            known = known[:-1]
        return self.lines.get(known, 0)


def path_text(path: KeyPath) -> str:
    """Return a key path as one would write it: `phases[1].faults[0].kind`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def read_yaml(text: str, *, name: str, has_fragments: bool = False) -> Document:
    """Parse one YAML document.

    Args:
        text: What the file says.
        name: The file, as messages name it.
        has_fragments: It may use anchors, merge keys and Compose's tags, which are written out.

    Raises:
        SpecError: If it is not YAML, or is something we refuse; it names the line.
    """
    documents = read_yaml_documents(text, name=name, has_fragments=has_fragments)
    if len(documents) > 1:
        raise SpecError(f"{len(documents)} documents in one file", where=name, fix="give each a file of its own")
    return documents[0]


def read_yaml_documents(text: str, *, name: str, has_fragments: bool = False) -> list[Document]:
    """Parse a file of one or more YAML documents.

    Raises:
        SpecError: If it is not YAML, holds nothing, or is something we refuse; it names the line.
    """
    if len(text.encode()) > MAX_BYTES:
        raise SpecError("file is larger than 1 MiB", where=name, fix="split it; a page is enough")
    try:
        _check_events(text, name, has_fragments=has_fragments)
        roots = [root for root in yaml.compose_all(text, Loader=_LOADER) if root is not None]
    except yaml.YAMLError as error:
        raise _not_yaml(error, name) from error
    if not roots:
        raise SpecError("file is empty", where=name, fix="docs/ has an example of each kind of file")
    if has_fragments:
        roots = [written_out(root, name=name) for root in roots]
    return [_document(root, name) for root in roots]


def _document(root: yaml.Node, name: str) -> Document:
    lines: dict[KeyPath, int] = {}
    return Document(name, _value(root, (), lines, name), lines)


def _check_events(text: str, name: str, *, has_fragments: bool) -> None:
    """Refuse aliases and deep nesting from the event stream, which is flat and cannot overflow the stack."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        depth += isinstance(event, _OPENING) - isinstance(event, _CLOSING)
        where = f"{name}:{event.start_mark.line + 1}" if event.start_mark else name
        if not has_fragments and (isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None)):
            raise SpecError("anchors and aliases are refused", where=where, fix="write the value out")
        if not has_fragments and isinstance(event, _OPENING) and event.tag not in _COLLECTION_TAGS:
            raise SpecError(f"tag {event.tag!r} is refused", where=where, fix="write a plain value")
        if depth > MAX_DEPTH:
            raise SpecError(f"nested deeper than {MAX_DEPTH}", where=where, fix="five levels are enough")


def _not_yaml(error: yaml.YAMLError, name: str) -> SpecError:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    where = f"{name}:{mark.line + 1}" if mark else name
    return SpecError(f"not YAML: {problem}", where=where, fix="check indentation, colons and quotes on that line")


def _value(node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int], name: str) -> Any:
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, lines, name)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*path, index), lines, name) for index, item in enumerate(node.value)]
    if not isinstance(node, yaml.ScalarNode):
        raise TypeError(f"a YAML node of an unknown kind: {node!r}")
    return _scalar(node, f"{name}:{lines[path]}: {path_text(path)}")


def _mapping(node: yaml.MappingNode, path: KeyPath, lines: dict[KeyPath, int], name: str) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = str(key_node.value)
        where = f"{name}:{key_node.start_mark.line + 1}"
        if key in data:
            raise SpecError(f"key {key!r} is there twice", where=where, fix="keep one of the two")
        data[key] = _value(value_node, (*path, key), lines, name)
        lines[(*path, key)] = key_node.start_mark.line + 1
    return data


def _scalar(node: yaml.ScalarNode, where: str) -> Any:
    if node.tag not in _PLAIN_TAGS:
        raise SpecError(f"tag {node.tag!r} is refused", where=where, fix="write a plain value")
    if node.tag.endswith(":timestamp"):
        return node.value
    if node.tag.endswith(":bool") and node.value not in ("true", "false"):
        fix = f"write true or false, or quote the word: '{node.value}'"
        raise SpecError(f"{node.value!r} means a boolean in YAML", where=where, fix=fix)
    try:
        return yaml.constructor.SafeConstructor().construct_object(node)
    except ValueError as error:  # `0x_`, or more digits than Python reads
        raise SpecError("this is no number that can be read", where=where, fix="fix it, or quote the word") from error
