"""Whether an answer says what a proper one must: beside its status, values in its JSON, and headers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.load.filling import ANONYMOUS, filling
from harness.spec.requests import value_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.load.filling import Clients, Filling
    from harness.load.generator.request import Request
    from harness.spec.requests import Check, DeclaredRequest


@dataclass(frozen=True, slots=True)
class ReadyCheck:
    """One check, ready to be filled in for each request.

    Attributes:
        check: As it is declared.
        wanted: What must stand there, or in what stands there; None where nothing may.
    """

    check: Check
    wanted: Filling | None

    def holds(self, request: Request, response: Any) -> bool:
        """Tell whether an answer passes it; one that has nothing there passes only if nothing may be there."""
        said = self._said(response)
        if said is None or self.wanted is None:
            return said is None and self.wanted is None
        wanted = self.wanted(request.key, request.number).encode()
        return said == wanted if self.check.equals is not None else wanted in said

    def _said(self, response: Any) -> bytes | None:
        if self.check.at is not None:
            return value_at(self.check.at, response.content or b"")
        value = response.headers.get(str(self.check.header).lower())
        return None if value is None else str(value).encode()


Checks = dict[int, tuple[ReadyCheck, ...]]
"""What the answers to each kind of request must pass, by its index."""


def checks_of(requests: Sequence[DeclaredRequest], mark: str, clients: Clients = ANONYMOUS) -> Checks:
    """Return the checks of those that declare some, in a load of this mark."""
    return {
        index: tuple(
            ReadyCheck(each, filling(each.wanted, mark, clients) if each.wanted else None) for each in request.checks
        )
        for index, request in enumerate(requests)
        if request.checks
    }
