"""What a request carries of its key's value, for promises that ask whether a value was lost: see `history.operations`.

The value that was sent is known from its template, key and number, so nothing is kept while a request is under way.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.history.operations import ABSENT, GONE, OPERATION, digest_of
from harness.history.samples import SampleOutcome
from harness.load.filling import ANONYMOUS, filling
from harness.spec.requests import SUCCESS, value_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.load.filling import Clients, Filling
    from harness.load.generator.request import Request
    from harness.spec.requests import DeclaredRequest

_PACKED = struct.Struct("<ddQqqq??")
if _PACKED.size != OPERATION.itemsize:
    raise ImportError(f"a packed operation has {_PACKED.size} bytes, OPERATION {OPERATION.itemsize}")


@dataclass(frozen=True, slots=True)
class Memory:
    """How one kind of request is remembered.

    Attributes:
        pointer: Where the value stands in the body.
        body: Of a write, filled in for each; None of a read.
    """

    pointer: str
    body: Filling | None

    def operation(
        self, request: Request, outcome: SampleOutcome, response: Any, *, ended_s: float, version: int, sample: int
    ) -> bytes:
        """Return one `OPERATION`: what a request that was sent wrote, or what its answer says."""
        if self.body is not None:
            digest, is_acknowledged = (
                self._written(self.body(request.key, request.number)),
                is_success(outcome, response),
            )
        else:
            digest, is_acknowledged = self._read(outcome, response)
        return _PACKED.pack(
            request.sent_s, ended_s, digest, version, request.key, sample, self.body is not None, is_acknowledged
        )

    def _written(self, body: str) -> int:
        value = value_at(self.pointer, body.encode())
        return ABSENT if value is None else digest_of(value)

    def _read(self, outcome: SampleOutcome, response: Any) -> tuple[int, bool]:
        """Return what was read, and whether the answer says so: one that holds no value tells nothing."""
        if response is not None and response.status_code in GONE:
            return ABSENT, True
        if not is_success(outcome, response):
            return ABSENT, False
        value = value_at(self.pointer, response.content or b"")
        return (ABSENT, False) if value is None else (digest_of(value), True)


def is_success(outcome: SampleOutcome, response: Any) -> bool:
    """Tell whether an answer grants what was asked: an expected refusal is a proper answer, and grants nothing."""
    return outcome is SampleOutcome.OK and response is not None and response.status_code in SUCCESS


def memories_of(requests: Sequence[DeclaredRequest], mark: str, clients: Clients = ANONYMOUS) -> dict[int, Memory]:
    """Return how requests are remembered, by their index, in a load of this mark; those that are not are left out."""
    return {
        index: Memory(
            pointer=(request.writes if request.writes is not None else request.reads) or "",
            body=filling(request.body or "", mark, clients) if request.writes is not None else None,
        )
        for index, request in enumerate(requests)
        if request.is_remembered
    }
