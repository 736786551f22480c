"""What a scenario is worth: how much depends on it, which seeded defects it catches, which questions it answers.

None of it changes what is run or judged; it says which scenarios a gate needs, and proves that they can go red.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from harness.spec.invariant import PROMISES
from harness.spec.model import Model
from harness.spec.phase import Slug

Tier = Literal["P0", "P1", "P2"]
"""P0 is judged for each change, P1 before a release, P2 at night; a profile of readiness.toml says which it runs."""

TIERS: tuple[Tier, ...] = get_args(Tier)


def _a_promises_word(word: str) -> str:
    if word not in PROMISES:
        raise PydanticCustomError("unknown_word", "unknown promise {word}", {"word": word, "known": list(PROMISES)})
    return word


PromiseWord = Annotated[
    str, AfterValidator(_a_promises_word), WithJsonSchema({"type": "string", "enum": list(PROMISES)})
]
"""An objective's `sli` or an invariant's `kind`: the word that its claim is filed under."""

ChecklistRow = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._/:-]{0,99}$")]
"""A row of a checklist for production readiness, as short as one would quote it."""


class Catch(Model):
    """A seeded defect that must turn the scenario red, and the promise that must be what fails.

    Red for another promise proves less: it may be an accident of this defect, and the promise that was written for it
    may be blind.

    Attributes:
        defect: Its id, as readiness.toml lists it.
        by: The promise: an objective's `sli` or an invariant's `kind`, of the scenario or of readiness.toml's defaults.
    """

    defect: Slug
    by: PromiseWord

    def __str__(self) -> str:
        return f"{self.defect} by {self.by}"


def _caught_once(catches: tuple[Catch, ...]) -> tuple[Catch, ...]:
    ids = [catch.defect for catch in catches]
    twice = sorted({each for each in ids if ids.count(each) > 1})
    if twice:
        raise ValueError(f"the defect {', '.join(twice)} is there twice; name the promise that is meant to catch it")
    return catches


Catches = Annotated[tuple[Catch, ...], AfterValidator(_caught_once)]
"""Each defect once, by the promise that is meant to catch it."""
