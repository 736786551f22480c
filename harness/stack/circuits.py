"""Asking a replica what its circuit breakers went through (docs/system.md).

It says how long ago each state began, by a clock of its own that never runs backwards; so no two clocks have to agree.
When that was in the run is known to half of what the question took.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated

import httpx
from pydantic import Field, ValidationError, field_validator

from harness.history.circuits import Circuit, CircuitReport, CircuitState, Stay
from harness.spec.model import Model
from harness.stack.http_client import get

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.stack.service import Address

ANSWER_WITHIN_S = 2.0
"""Of one question: a replica that works answers in some milliseconds."""


class _ToldStay(Model):
    state: CircuitState
    ago_s: float = Field(ge=0)
    admitted: int | None = Field(default=None, ge=0)
    rest_s: float | None = Field(default=None, ge=0)


class _ToldCircuit(Model):
    forgotten: int = Field(default=0, ge=0)
    stays: Annotated[tuple[_ToldStay, ...], Field(min_length=1)]

    @field_validator("stays")
    @classmethod
    def _are_in_order(cls, stays: tuple[_ToldStay, ...]) -> tuple[_ToldStay, ...]:
        if any(later.ago_s > earlier.ago_s for earlier, later in pairwise(stays)):
            raise ValueError("they are not in the order of time, the present one last")
        return stays


class _Told(Model):
    breakers: dict[str, _ToldCircuit]


def circuit_report(replica: str, address: Address, path: str, now_s: Callable[[], float]) -> CircuitReport:
    """Return what a replica says of its circuit breakers, or why it says nothing.

    Args:
        replica: Its name.
        address: Where it listens.
        path: What it is asked.
        now_s: Returns the seconds since the run's origin.
    """
    began_s = now_s()
    try:
        answer = get(address, path, within_s=ANSWER_WITHIN_S)
    except httpx.HTTPError as error:
        return _untold(replica, began_s, f"GET {path} was not answered ({type(error).__name__})")
    asked_s = (began_s + now_s()) / 2
    if answer.status_code != httpx.codes.OK:
        return _untold(replica, asked_s, f"GET {path} was answered with {answer.status_code}")
    try:
        circuits = circuits_in(answer.content, asked_s)
    except ValueError as error:
        return _untold(replica, asked_s, f"GET {path} says of {error}")
    return CircuitReport(replica=replica, asked_s=round(asked_s, 3), circuits=circuits)


def circuits_in(answer: bytes, asked_s: float) -> tuple[Circuit, ...]:
    """Return what an answer tells, on the time by which it was asked for at `asked_s`.

    Raises:
        ValueError: If it tells something else; it says of what, and what is wrong with that.
    """
    try:
        told = _Told.model_validate_json(answer)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "its answer"
        raise ValueError(f"{place}: {first['msg']}") from error
    return tuple(_circuit(name, each, asked_s) for name, each in told.breakers.items())


def _untold(replica: str, asked_s: float, error: str) -> CircuitReport:
    return CircuitReport(replica=replica, asked_s=round(asked_s, 3), error=error)


def _circuit(name: str, told: _ToldCircuit, asked_s: float) -> Circuit:
    stays = tuple(
        Stay(state=each.state, began_s=round(asked_s - each.ago_s, 6), admitted=each.admitted, rest_s=each.rest_s)
        for each in told.stays
    )
    return Circuit(name=name, forgotten=told.forgotten, stays=stays)
