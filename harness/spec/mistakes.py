"""Mistakes that only a whole shows, such as a promise about a phase that is not there: all, each with its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from harness.spec.document import KeyPath

    Check = tuple[KeyPath, Callable[[], None]]


class MistakesError(ValueError):
    """What a model's checks found; pydantic carries it as the cause of one complaint.

    Attributes:
        found: The key path of each, from the model that was checked, and what it is.
    """

    def __init__(self, found: list[tuple[KeyPath, str]]) -> None:
        super().__init__("\n".join(what for _, what in found))
        self.found = found


def check_all(checks: Iterable[Check]) -> None:
    """Do every check, also after one that failed: who mends a file should not have to start a program for each mistake.

    Args:
        checks: The key path that each is about, and a function that raises ValueError where something is wrong there.

    Raises:
        MistakesError: If any of them did.
    """
    found = []
    for path, check in checks:
        try:
            check()
        except ValueError as error:
            found.append((path, str(error)))
    if found:
        raise MistakesError(found)
