"""What an answer calls the thing that it accepts, for the question what became of it: see `history.accounts`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.history.accounts import ID_MAX
from harness.load.generator.memory import is_success
from harness.spec.requests import value_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.history.samples import SampleOutcome
    from harness.spec.requests import DeclaredRequest


def accepted_id(pointer: str, outcome: SampleOutcome, response: Any) -> str | None:
    """Return what an answer calls what it accepts; None if it accepts nothing, or does not say."""
    if not is_success(outcome, response):
        return None
    value = value_at(pointer, response.content or b"")
    text = "" if value is None else value.decode(errors="replace")
    return text if 0 < len(text) <= ID_MAX else None


def accepting(requests: Sequence[DeclaredRequest]) -> dict[int, str]:
    """Return where answers name what they accept, by their request's index."""
    return {index: request.settles.id for index, request in enumerate(requests) if request.settles is not None}
