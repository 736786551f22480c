"""Whether an answer is that of its request: what it echoes is compared as it comes, see `history.echoes`.

What it must say is known from the request's template, key and number, so nothing is kept while a request is under way.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.history.echoes import ECHO, OWN, TEXT_MAX
from harness.history.samples import NAMELESS
from harness.load.filling import ANONYMOUS, filling
from harness.load.generator.memory import is_success
from harness.spec.requests import value_at

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.history.samples import SampleOutcome
    from harness.load.filling import Clients, Filling
    from harness.load.generator.request import Request
    from harness.spec.requests import DeclaredRequest

_PACKED = struct.Struct("<qbB")
if _PACKED.size != ECHO.itemsize:
    raise ImportError(f"a packed echo has {_PACKED.size} bytes, ECHO {ECHO.itemsize}")


@dataclass(frozen=True, slots=True)
class OwnEchoes:
    """What the answers to one kind of request must say of themselves.

    Attributes:
        wanted: Where in an answer, as JSON Pointers, and what must stand there, filled in for each request.
    """

    wanted: tuple[tuple[str, Filling], ...]

    def record(
        self, request: Request, outcome: SampleOutcome, response: Any, *, sample: int, index_of: Callable[[str], int]
    ) -> bytes:
        """Return one `ECHO`; nothing, if the answer grants nothing, or does not say whose it is.

        Args:
            request: What was asked.
            outcome: What came of it.
            response: The answer; None if there was none.
            sample: The number of its record.
            index_of: Numbers what another's answer says.
        """
        if not is_success(outcome, response):
            return b""
        told = [value_at(pointer, response.content or b"") for pointer, _ in self.wanted]
        if all(value is None for value in told):
            return b""
        for place, (value, (_, filled)) in enumerate(zip(told, self.wanted, strict=True)):
            if value is not None and value != filled(request.key, request.number).encode():
                return _PACKED.pack(sample, place, index_of(value.decode(errors="replace")[:TEXT_MAX]))
        return _PACKED.pack(sample, OWN, index_of(NAMELESS))


def own_echoes_of(requests: Sequence[DeclaredRequest], mark: str, clients: Clients = ANONYMOUS) -> dict[int, OwnEchoes]:
    """Return what answers must say, by their request's index; requests that declare nothing are left out."""
    return {
        index: OwnEchoes(tuple((pointer, filling(template, mark, clients)) for pointer, template in request.echoed))
        for index, request in enumerate(requests)
        if request.echoes
    }
