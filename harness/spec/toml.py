"""TOML text to plain data, remembering on which line every key stands."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from harness.errors import SpecError
from harness.spec.document import Document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.spec.document import KeyPath


def read_toml(text: str, *, name: str) -> Document:
    """Parse one TOML document.

    Args:
        text: What the file says.
        name: The file, as messages name it.

    Raises:
        SpecError: If it is not TOML; it names the line.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"not TOML: {error}", where=name, fix="fix that line") from error
    return Document(name, data, lines_of(text))


def lines_of(text: str) -> dict[KeyPath, int]:
    """Return the line of each key of a TOML text, counted from 1; of what stands in a value, that of its key.

    The standard library's parser tells no lines. But a statement ends where its lines are TOML by themselves, and no
    sooner, so that the same parser finds out what each of them says.
    """
    lines: dict[KeyPath, int] = {}
    table: KeyPath = ()
    counted: dict[KeyPath, int] = {}
    for number, statement in _statements(text):
        path = _path(tomllib.loads(statement))
        if statement.lstrip().startswith("["):
            table = path = _in_arrays(path, counted, is_new=statement.lstrip().startswith("[["))
        else:
            path = (*table, *path)
        for length in range(1, len(path) + 1):
            lines.setdefault(path[:length], number)
    return lines


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield each table header and each key with its value, and the line on which it begins."""
    pending, began = "", 0
    for number, line in enumerate(text.split("\n"), start=1):  # and at no other sign that ends lines elsewhere
        began, pending = began if pending else number, f"{pending}{line}\n"
        try:
            says = tomllib.loads(pending)
        except tomllib.TOMLDecodeError:  # a value goes on
            continue
        if says:
            yield began, pending
        pending = ""


def _path(data: Any) -> KeyPath:
    """Return the path of the one key that a statement names; a header's value is an empty table or a list of one."""
    path: KeyPath = ()
    while isinstance(data, dict) and len(data) == 1:
        ((key, data),) = data.items()
        path = (*path, key)
    return path


def _in_arrays(path: KeyPath, counted: dict[KeyPath, int], *, is_new: bool) -> KeyPath:
    """Return a header's path with the number of the item for each array of tables on its way.

    Args:
        path: As the header writes it.
        counted: How many items each array has so far; told of a new one.
        is_new: Whether the header begins a new item of an array, as `[[name]]` does.
    """
    *parents, last = path
    whole: KeyPath = ()
    for key in parents:
        whole = (*whole, key)
        if whole in counted:
            whole = (*whole, counted[whole] - 1)
    whole = (*whole, last)
    if is_new:
        counted[whole] = counted.get(whole, 0) + 1
    return (*whole, counted[whole] - 1) if whole in counted else whole
