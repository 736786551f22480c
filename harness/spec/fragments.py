"""What is said once in a YAML file and used again, written out: anchors, merge keys, and Compose's own tags.

A handful of aliases expands to gigabytes, and one can hold itself; both are refused. `yes`, `no` and their like, and
`22:22`, are the words that they look like, as Compose reads them.

Sources: YAML 1.1, "Merge Key Language-Independent Type"; Compose Specification, "Fragments" and "Merge and override".
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import yaml

from harness.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_DEPTH = 32
MAX_NODES = 100_000

_STANDARD = "tag:yaml.org,2002:"
_RESOLVER = yaml.resolver.Resolver()

Pair = tuple[yaml.Node, yaml.Node]


def written_out(root: yaml.Node, *, name: str) -> yaml.Node:
    """Return a tree in which nothing refers to anything else; each node keeps the line where it was written.

    Raises:
        SpecError: If it has no end, or merges what is no mapping; it names the line.
    """
    return _Writer(name).written(root, depth=0)


class _Writer:
    """Writes one document out, and counts what it has written."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._count = itertools.count(1)

    def written(self, node: yaml.Node, depth: int) -> yaml.Node:
        self._charge(node, depth)
        if node.tag == "!reset":  # Compose takes away what stands there
            return yaml.ScalarNode(f"{_STANDARD}null", "null", node.start_mark, node.end_mark)
        if isinstance(node, yaml.MappingNode):
            pairs = [(key, self.written(value, depth + 1)) for key, value in self._pairs(node, depth)]
            return yaml.MappingNode(f"{_STANDARD}map", pairs, node.start_mark, node.end_mark)
        if isinstance(node, yaml.SequenceNode):
            items = [self.written(item, depth + 1) for item in node.value]
            return yaml.SequenceNode(f"{_STANDARD}seq", items, node.start_mark, node.end_mark)
        if not isinstance(node, yaml.ScalarNode):
            raise TypeError(f"a YAML node of an unknown kind: {node!r}")
        return _scalar(node)

    def _pairs(self, node: yaml.MappingNode, depth: int) -> Iterator[Pair]:
        """Yield its own pairs, and those that it merges; its own win, then the first of the merged."""
        own = [pair for pair in node.value if not _is_merge(pair[0])]
        taken = {self._word(key) for key, _ in own}
        for key, value in self._merged(node, depth):
            self._charge(key, depth)
            if self._word(key) not in taken:
                taken.add(self._word(key))
                yield key, value
        yield from own

    def _merged(self, node: yaml.MappingNode, depth: int) -> Iterator[Pair]:
        for source in _sources(node):
            self._charge(source, depth)
            if not isinstance(source, yaml.MappingNode):
                raise SpecError("only a mapping can be merged", where=self._place(source), fix="<<: *an-anchor")
            yield from self._pairs(source, depth + 1)

    def _word(self, key: yaml.Node) -> str:
        if not isinstance(key, yaml.ScalarNode):
            raise SpecError("a key is no word", where=self._place(key), fix="write one word before the colon")
        return str(key.value)

    def _charge(self, node: yaml.Node, depth: int) -> None:
        if depth > MAX_DEPTH or next(self._count) > MAX_NODES:
            raise SpecError("its aliases grow without end", where=self._place(node), fix="write the value out")

    def _place(self, node: yaml.Node) -> str:
        return f"{self._name}:{node.start_mark.line + 1}"


def _is_merge(key: yaml.Node) -> bool:
    return bool(key.tag == f"{_STANDARD}merge")


def _sources(node: yaml.MappingNode) -> list[yaml.Node]:
    """Return what a mapping merges: one mapping, or a list of them."""
    values = [value for key, value in node.value if _is_merge(key)]
    return [each for value in values for each in (value.value if isinstance(value, yaml.SequenceNode) else [value])]


def _scalar(node: yaml.ScalarNode) -> yaml.ScalarNode:
    """Return a word with the tag that Compose would give it."""
    tag, text = node.tag, node.value
    if tag == "!override":
        is_plain = not node.style
        tag = _RESOLVER.resolve(yaml.ScalarNode, text, (is_plain, not is_plain))  # type: ignore[no-untyped-call]  # no stub
    if tag == f"{_STANDARD}bool":
        text = text.lower() if text.lower() in {"true", "false"} else text
    is_word = tag == f"{_STANDARD}bool" and text not in {"true", "false"}
    is_pair = tag in {f"{_STANDARD}int", f"{_STANDARD}float"} and ":" in text
    return yaml.ScalarNode(f"{_STANDARD}str" if is_word or is_pair else tag, text, node.start_mark, node.end_mark)
